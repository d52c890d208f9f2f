// Puts the page together and carries messages between its parts and the server.

const address = (assets, name) => new URL(`${assets}/${name}.js`, document.baseURI).href

// The map must be in its place when this returns, or it is never drawn; all else is put around it.
export function render({ model }) {
  const [root, main, side, frame, canvas] = ["div", "main", "div", "section", "div"].map((tag) => document.createElement(tag))
  root.className = "peacewatch"
  side.className = "side"
  frame.className = "map"
  canvas.className = "canvas"
  canvas.append(model.get_child("map"))
  frame.append(canvas)
  side.append(frame)
  main.append(side)
  root.append(main)
  const parts = ["format", "list", "detail", "status"].map((name) => import(address(model.assets, name)))
  Promise.all(parts).then((modules) => start(model, { root, main, side, frame }, ...modules))
  return root
}

function start(model, place, { Clock, el, icon }, { AlertList }, { Detail }, { StatusBar }) {
  const clock = new Clock(model.timezone)
  let told = null
  let opened = false
  const detail = new Detail(clock, () => list.select(null))
  const list = new AlertList(clock, model.capacity, (row) => {
    detail.show(row)
    if ((row?.alert_id ?? null) !== told) {
      told = row?.alert_id ?? null
      model.send_msg({ select: told })
    }
  })
  const status = new StatusBar(clock, model.force, address(model.assets, "format"), () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"))

  function setTheme(theme) {
    document.documentElement.dataset.theme = theme
    try {
      localStorage.setItem("peacewatch-theme", theme)
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
    model.send_msg({ theme })
  }

  model.on("msg:custom", (event) => {
    const message = event.data ?? event
    if (message.rows) {
      list.apply(JSON.parse(message.rows), opened)
      opened = true
    }
    if (message.status) {
      opened = true
      status.apply(message.status)
      list.setTotal(message.status.counts.open + message.status.counts.recovered)
    }
    if ("select" in message) {
      told = message.select
      list.select(message.select, true)
    }
  })

  const legend = el("div", "legend", ...["critical", "high", "recovered"].map((name) => el("span", name, icon(name), name[0].toUpperCase() + name.slice(1))))
  place.frame.setAttribute("aria-label", "Map of the alerts")
  place.frame.prepend(el("header", "tools", el("h2", "", "Map"), legend))
  place.main.prepend(list.element)
  place.side.append(detail.element)
  place.root.prepend(status.header, status.banner, status.counters)
  model.send_msg({ ready: true, theme: document.documentElement.dataset.theme })
}

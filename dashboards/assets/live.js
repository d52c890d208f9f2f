// Puts the live page together and carries messages between its parts and the server.

const address = (assets, name) => new URL(`${assets}/${name}.js`, document.baseURI).href

// The map must be in its place when this returns, or it is never drawn; all else is put around it.
export function render({ model }) {
  const [root, main, side, frame, canvas] = ["div", "main", "div", "section", "div"].map((tag) => document.createElement(tag))
  root.className = "pw live"
  side.className = "side"
  frame.className = "map card"
  canvas.className = "canvas"
  canvas.append(model.get_child("map"))
  frame.append(canvas)
  side.append(frame)
  main.append(side)
  root.append(main)
  const parts = ["format", "list", "detail", "counters"].map((name) => import(address(model.assets, name)))
  Promise.all(parts).then((modules) => start(model, { root, main, side, frame }, ...modules))
  return root
}

function start(model, place, { Clock, el, icon }, { AlertList }, { Detail }, { Counters }) {
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const clock = new Clock(model.timezone)
  let told = null
  let opened = false
  const detail = new Detail(clock, () => list.select(null))
  const list = new AlertList(clock, model.capacity, (row) => {
    detail.show(row)
    if ((row?.alert_id ?? null) !== told) {
      told = row?.alert_id ?? null
      send({ select: told })
    }
  })
  const counters = new Counters()

  model.on("msg:custom", (event) => {
    const message = event.data ?? event
    if (message.rows) list.apply(JSON.parse(message.rows), opened)
    if (message.opened) opened = true
    if ("select" in message) {
      told = message.select
      list.select(message.select, true)
    }
  })
  document.addEventListener("peacewatch-status", ({ detail: status }) => {
    clock.set(status.at * 1000)
    counters.apply(status)
    list.setTotal(status.counts.open + status.counts.recovered)
  })
  document.addEventListener("peacewatch-theme", ({ detail: theme }) => send({ theme }))

  const legend = el("div", "legend", ...["critical", "high", "recovered"].map((name) => el("span", name, icon(name), name[0].toUpperCase() + name.slice(1))))
  place.frame.setAttribute("aria-label", "Map of the alerts")
  place.frame.prepend(el("header", "", el("h2", "", "Map"), legend))
  place.main.prepend(list.element)
  place.side.append(detail.element)
  place.root.prepend(counters.element)
  send({ ready: true, theme: document.documentElement.dataset.theme })
}

// A map's frame: buttons, switches of the layers, and a line that says what is drawn.
// What is in view is the business of map_plot.js, which it asks for by the plot's id.

const KEY = "peacewatch-layers"
const LAYERS = { alerts: "Alerts", drones: "Drones", heat: "Agitation, last hour", districts: "Districts", grid: "Grid" }

// The plot must be in its place when this returns, or it is never drawn; all else is put around it.
export function render({ model }) {
  const [root, canvas] = ["div", "div"].map((tag) => document.createElement(tag))
  root.className = "pw map-view"
  canvas.className = "plot"
  canvas.append(model.get_child("map"))
  root.append(canvas)
  import(new URL(`${model.assets}/format.js`, document.baseURI).href).then((format) => start(model, root, canvas, format))
  return root
}

function start(model, root, canvas, { el, setText, number }) {
  const plot = () => window.peacewatchMaps?.get(model.plot_id)
  const button = (text, label, act) => {
    const made = el("button", "map-button", text)
    made.title = label
    made.setAttribute("aria-label", label)
    made.addEventListener("click", act)
    return made
  }
  const buttons = el("div", "map-buttons",
    button("+", "Zoom in", () => plot()?.zoom(1 / 1.6)),
    button("−", "Zoom out", () => plot()?.zoom(1.6)),
    button("⤢", "Show the whole area", () => plot()?.fit(true)))
  canvas.append(buttons, switches(model, el))
  canvas.tabIndex = 0
  canvas.setAttribute("role", "application")
  canvas.setAttribute("aria-label", "Map: arrow keys move it, plus and minus zoom, 0 shows the whole area")
  canvas.addEventListener("keydown", (event) => key(event, canvas, plot()))

  const foot = el("div", "map-foot")
  root.append(foot)
  const write = () => {
    const map = plot()
    if (map) map.element = canvas
    legend(foot, model.legend, { el, setText, number })
    root.dataset.drones = model.legend.drones ?? ""
    root.dataset.drawn = !model.legend.known ? "" : model.legend.cell_m ? "counts" : "drones"
  }
  model.on("legend", write)
  write()
  document.addEventListener("peacewatch-theme", ({ detail: theme }) => model.send_msg({ theme }))
  model.send_msg({ ready: true, theme: document.documentElement.dataset.theme, layers: chosen(model) })
}

function key(event, canvas, plot) {
  if (event.target !== canvas || event.ctrlKey || event.metaKey || event.altKey || !plot) return
  const acts = {
    ArrowLeft: () => plot.pan(-0.2, 0),
    ArrowRight: () => plot.pan(0.2, 0),
    ArrowUp: () => plot.pan(0, 0.2),
    ArrowDown: () => plot.pan(0, -0.2),
    "+": () => plot.zoom(1 / 1.6),
    "=": () => plot.zoom(1 / 1.6),
    "-": () => plot.zoom(1.6),
    0: () => plot.fit(true),
  }
  if (!acts[event.key]) return
  event.preventDefault()
  event.stopPropagation()
  acts[event.key]()
}

function chosen(model) {
  const usual = { alerts: true, drones: true, heat: true, districts: true, grid: false, ...(model.tiles ? { tiles: true } : {}) }
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}")
    for (const name of Object.keys(usual)) if (typeof kept[name] === "boolean") usual[name] = kept[name]
  } catch {
    // Storage is off or was written by something else: the usual layers.
  }
  return usual
}

function switches(model, el) {
  const on = chosen(model)
  const names = model.tiles ? { ...LAYERS, tiles: "Streets" } : LAYERS
  const boxes = Object.entries(names).map(([name, text]) => {
    const box = el("input", "")
    box.type = "checkbox"
    box.checked = on[name]
    box.addEventListener("change", () => {
      on[name] = box.checked
      try {
        localStorage.setItem(KEY, JSON.stringify(on))
      } catch {
        // Storage is off: the choice lasts as long as the page.
      }
      model.send_msg({ layers: { [name]: box.checked } })
    })
    return el("label", "", box, text)
  })
  const summary = el("summary", "map-button", "Layers")
  const menu = el("details", "map-layers", summary, el("div", "sheet", ...boxes))
  document.addEventListener("click", (event) => {
    if (!event.composedPath().includes(menu)) menu.open = false
  })
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return
    menu.open = false
    summary.focus()
    event.stopPropagation()
  })
  return menu
}

const metres = (m) => (m >= 1000 ? `${m / 1000} km` : `${m} m`)

function legend(foot, said, { el, number }) {
  const parts = []
  if (said.note) parts.push(el("span", "map-note", said.note))
  if (said.known) {
    const drones = `${number(said.drones)} drone${said.drones === 1 ? "" : "s"} in view`
    const silent = said.silent ? `, ${number(said.silent)} silent` : ""
    const mark = swatch(el, "dot", said.drone_color)
    parts.push(el("span", "", mark, `${drones}${silent}${said.cell_m ? `, counted in squares of ${metres(said.cell_m)}` : ""}`))
  }
  if (said.heat) {
    const bounds = said.heat
    const steps = bounds.map((low, i) => {
      const high = bounds[i + 1] ? bounds[i + 1] - 1 : null
      const text = high === null ? `${number(low)}+` : high === low ? number(low) : `${number(low)}–${number(high)}`
      return el("span", "step", swatch(el, "square", said.colors[i]), text)
    })
    parts.push(el("span", "map-heat", "Agitated, last hour:", ...steps))
  }
  foot.replaceChildren(...parts)
}

function swatch(el, shape, color) {
  const mark = el("i", `swatch ${shape}`)
  mark.style.background = color
  return mark
}

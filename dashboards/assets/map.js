// A map's frame: buttons, switches of the layers, and a line that says what is drawn.
// What is in view is the business of map_plot.js, which it asks for by the plot's id.

const KEY = "peacewatch-layers"
const LAYERS = { alerts: "Alerts", drones: "Drones", heat: "Agitation, last hour", districts: "Districts", grid: "Grid" }

// The plot must be in its place when this returns, or it is never drawn; all else is put around it.
export function render({ model }) {
  const [root, canvas] = ["div", "div"].map((tag) => document.createElement(tag))
  root.className = "pw map-frame"
  canvas.className = "plot"
  canvas.append(model.get_child("map"))
  root.append(canvas)
  use(model, "format").then((format) => start(model, root, canvas, format))
  return root
}

function start(model, root, canvas, { el, number }) {
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
  const layers = switches(model, el)
  canvas.append(el("div", "map-bar", layers.menu, buttons))
  canvas.tabIndex = 0
  canvas.setAttribute("role", "application")
  canvas.setAttribute("aria-label", "Map: arrow keys move it, plus and minus zoom, 0 shows the whole area")
  canvas.addEventListener("keydown", (event) => key(event, canvas, plot()))

  const foot = el("div", "map-foot")
  root.append(foot)
  const write = () => {
    const map = plot()
    if (map) map.element = canvas
    foot.replaceChildren(...drawn(model.legend, { el, number }))
    layers.figures.replaceChildren(...heat(model.legend, { el, number }))
    root.dataset.drones = model.legend.drones ?? ""
    root.dataset.drawn = !model.legend.known ? "" : model.legend.cell_m ? "counts" : "drones"
  }
  model.on("legend", write)
  write()
  document.addEventListener("peacewatch-theme", ({ detail: theme }) => model.send_msg({ theme }))
  document.addEventListener("visibilitychange", () => model.send_msg({ hidden: document.hidden }))
  model.send_msg({ ready: true, hidden: document.hidden, theme: document.documentElement.dataset.theme, layers: chosen(model) })
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
  const figures = el("div", "")
  boxes.splice(3, 0, figures)
  const sheet = el("div", "sheet", ...boxes)
  const open = el("button", "map-button", "Layers")
  const menu = el("div", "map-layers", open, sheet)
  // In the browser's top layer, so that a small map does not cut it off.
  sheet.popover = "auto"
  open.popoverTargetElement = sheet
  sheet.addEventListener("toggle", () => {
    const [under, own] = [open.getBoundingClientRect(), sheet.getBoundingClientRect()]
    sheet.style.left = `${Math.max(8, Math.min(under.left, innerWidth - own.width - 8))}px`
    sheet.style.top = `${Math.max(8, Math.min(under.bottom + 4, innerHeight - own.height - 8))}px`
  })
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !sheet.matches(":popover-open")) return
    event.stopPropagation()
    sheet.hidePopover()
    open.focus()
  })
  return { menu, figures }
}

const metres = (m) => (m >= 1000 ? `${m / 1000} km` : `${m} m`)

function drawn(said, { el, number }) {
  if (said.note) return [el("span", "map-note", said.note)]
  if (!said.known) return []
  const drones = `${number(said.drones)} drone${said.drones === 1 ? "" : "s"}`
  const silent = said.silent ? `, ✕ ${number(said.silent)} silent` : ""
  const squares = said.cell_m ? el("span", "more", `· in squares of ${metres(said.cell_m)}`) : null
  return [el("span", "map-said", swatch(el, "dot", said.drone_color), el("span", "", `${drones}${silent}`), squares), ...heat(said, { el, number })]
}

function heat(said, { el, number }) {
  if (!said.heat) return []
  const steps = said.heat.map((low, i) => {
    const next = said.heat[i + 1]
    const text = next == null ? `${number(low)}+` : next === low + 1 ? number(low) : `${number(low)}–${number(next - 1)}`
    return el("span", "step", swatch(el, "square", said.colors[i]), text)
  })
  return [el("div", "map-heat", el("b", "", "Agitated, last hour:"), ...steps)]
}

function swatch(el, shape, color) {
  const mark = el("i", `swatch ${shape}`)
  mark.style.background = color
  return mark
}

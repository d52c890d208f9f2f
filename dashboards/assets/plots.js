// Small charts as SVG, in the theme's colours, so that they follow it by themselves.
// A chart is as large as its element; pointing at it says its numbers in words.

import { el } from "./format.js"

const NS = "http://www.w3.org/2000/svg"
const LEFT = 46
const BOTTOM = 20
const TOP = 8
const RIGHT = 10

function shape(tag, attributes, text) {
  const node = document.createElementNS(NS, tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  if (text != null) node.textContent = text
  return node
}

// The least of 1, 2, 5 × 10ⁿ that is not below a value.
export function ceiling(value) {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].find((step) => step * power >= value * (1 - 1e-9)) * power
}

class Plot {
  constructor(title, note = "") {
    this.svg = shape("svg", { class: "plot", role: "img" })
    this.title = el("h2", "", title)
    this.readout = el("span", "readout", note)
    this.note = note
    const canvas = el("div", "plot-area", this.svg)
    this.element = el("section", "card chart", el("header", "", this.title, this.readout), canvas)
    this.size = [0, 0]
    new ResizeObserver(([entry]) => {
      this.size = [entry.contentRect.width, entry.contentRect.height]
      this.draw()
    }).observe(canvas)
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX))
    this.svg.addEventListener("pointerleave", () => this.unpoint())
  }

  say(note) {
    this.note = note
    if (!this.pointed) this.readout.textContent = note
  }

  unpoint() {
    this.pointed = null
    this.readout.textContent = this.note
    this.svg.querySelector(".cross")?.remove()
  }

  get width() {
    return this.size[0] - LEFT - RIGHT
  }

  get height() {
    return this.size[1] - TOP - BOTTOM
  }

  clear() {
    const [width, height] = this.size
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    this.svg.replaceChildren()
    return width > 80 && height > 50
  }

  // Lines and numbers at a few heights; returns where a value lies.
  rule(most, write) {
    const y = (value) => TOP + this.height * (1 - value / most)
    for (const part of [0, 0.5, 1]) {
      const at = y(most * part)
      this.svg.append(
        shape("line", { class: part ? "grid" : "base", x1: LEFT, x2: LEFT + this.width, y1: at, y2: at }),
        shape("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, write(most * part)),
      )
    }
    return y
  }

  below(x, text, anchor = "middle") {
    this.svg.append(shape("text", { x, y: this.size[1] - 5, "text-anchor": anchor }, text))
  }
}

// Values over the last hour, or what there is of it. Points are [seconds, value or null, …].
export class LineChart extends Plot {
  constructor(title, { column, write, clock }) {
    super(title)
    Object.assign(this, { column, write, clock, points: [], until: 0 })
  }

  apply(points, until) {
    this.points = points
    this.until = until
    this.draw()
  }

  draw() {
    if (!this.clear() || !this.until) return
    const begin = Math.max(this.until - 3600, Math.min(this.until - 300, this.points[0]?.[0] ?? this.until))
    this.x = (at) => LEFT + (this.width * (at - begin)) / (this.until - begin)
    const known = this.points.filter((point) => point[0] >= begin)
    const most = ceiling(Math.max(10, ...known.map((point) => point[this.column] ?? 0)))
    this.y = this.rule(most, this.write)
    const middle = (begin + this.until) / 2
    for (const [at, anchor] of [[begin, "start"], [middle, "middle"], [this.until, "end"]]) this.below(this.x(at), this.clock.time(at * 1000).slice(0, 5), anchor)
    let line = ""
    let area = ""
    let run = []
    const close = () => {
      if (!run.length) return
      const path = run.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")
      line += `M${path}${run.length === 1 ? "h.1" : ""}`
      area += `M${run[0][0].toFixed(1)},${this.y(0)}L${path}L${run.at(-1)[0].toFixed(1)},${this.y(0)}Z`
      run = []
    }
    for (const point of known) {
      if (point[this.column] == null) close()
      else run.push([this.x(point[0]), this.y(point[this.column])])
    }
    close()
    this.svg.append(shape("path", { class: "area", d: area }), shape("path", { class: "line", d: line }))
    this.known = known
    if (this.pointed != null) this.point(this.pointed)
  }

  point(x) {
    if (!this.known?.length) return
    this.pointed = x
    const near = this.known.reduce((best, point) => (Math.abs(this.x(point[0]) - x) < Math.abs(this.x(best[0]) - x) ? point : best))
    const value = near[this.column]
    this.readout.textContent = `${this.clock.time(near[0] * 1000)} · ${value == null ? "not running" : this.write(value)}`
    this.svg.querySelector(".cross")?.remove()
    const at = this.x(near[0])
    this.svg.append(shape("line", { class: "cross", x1: at, x2: at, y1: TOP, y2: TOP + this.height }))
  }
}

// Counts in buckets. `labels[i]` is the edge between buckets i and i + 1; only some are written.
export class Histogram extends Plot {
  constructor(title, { write, range, unit }) {
    super(title)
    Object.assign(this, { write, range, unit, edges: [], counts: [], span: [0, 0] })
  }

  // `span`: the first and last bucket to show.
  apply(edges, counts, span) {
    Object.assign(this, { edges, counts, span })
    this.draw()
  }

  draw() {
    if (!this.clear() || !this.counts.length) return
    const [first, last] = this.span
    const most = ceiling(Math.max(2, ...this.counts))
    const y = this.rule(most, (value) => (Number.isInteger(value) ? this.write(value) : ""))
    this.step = this.width / (last - first + 1)
    const every = Math.ceil(54 / this.step)
    for (let bucket = first; bucket <= last; bucket++) {
      const x = LEFT + (bucket - first) * this.step
      const count = this.counts[bucket] ?? 0
      if (count) this.svg.append(shape("rect", { class: "bar", x: x + 1, width: Math.max(1, this.step - 2), y: Math.min(y(count), y(0) - 2), height: Math.max(2, y(0) - y(count)) }))
      if (bucket > first && (bucket - first) % every === 0) this.below(x, this.unit(this.edges[bucket - 1]))
    }
    if (this.pointed != null) this.point(this.pointed)
  }

  point(x) {
    const [first, last] = this.span
    const bucket = first + Math.floor((x - LEFT) / this.step)
    this.svg.querySelector(".cross")?.remove()
    if (!(bucket >= first && bucket <= last)) return this.unpoint()
    this.pointed = x
    this.readout.textContent = `${this.range(this.edges[bucket - 1], this.edges[bucket])}: ${this.write(this.counts[bucket] ?? 0)}`
    this.svg.append(shape("rect", { class: "cross", x: LEFT + (bucket - first) * this.step, width: this.step, y: TOP, height: this.height }))
  }
}

// The window as a line: alerts by the minute above, reports by five minutes below,
// and where the clock is. One drags or clicks to go elsewhere.

import { compact, el, number, setText } from "./format.js"

const NS = "http://www.w3.org/2000/svg"
const MINUTE = 60_000
const BIN = 5 * MINUTE
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360].map((minutes) => minutes * MINUTE)
const LEFT = 62
const RIGHT = 14
const AXIS = 18
const GAP = 6
const LEAST_PX = 3 // a bar of alerts is so wide at least, or minutes are put together

function shape(tag, attributes, text) {
  const node = document.createElementNS(NS, tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  if (text != null) node.textContent = text
  return node
}

export class Line {
  // `seek(ms)` is called with where one wants to be.
  constructor(clock, seek) {
    Object.assign(this, { clock, seek, begin: 0, end: 0, bins: [], minutes: new Map(), size: [0, 0] })
    this.svg = shape("svg", { class: "plot", "aria-hidden": "true" })
    this.still = shape("g", {})
    this.cross = shape("line", { class: "cross", y1: 0 })
    this.past = shape("rect", { class: "past", x: LEFT, y: 0 })
    this.cursor = shape("g", { class: "cursor" })
    this.cursor.append(shape("line", { y1: 4 }), shape("circle", { cy: 6, r: 6 }))
    this.svg.append(this.past, this.still, this.cross, this.cursor)
    this.readout = el("span", "readout")
    this.slider = el("div", "line-area", this.svg)
    this.slider.tabIndex = 0
    this.slider.setAttribute("role", "slider")
    this.slider.setAttribute("aria-label", "Time")
    this.element = el("div", "timeline", this.slider)
    new ResizeObserver(([entry]) => {
      this.size = [entry.contentRect.width, entry.contentRect.height]
      this.draw()
    }).observe(this.slider)
    this.slider.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return
      this.slider.setPointerCapture(event.pointerId)
      this.go(event)
    })
    this.slider.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) this.go(event)
      this.point(this.msAt(event))
    })
    this.slider.addEventListener("pointerleave", () => this.point(null))
  }

  open({ begin, end, bins, minutes }) {
    Object.assign(this, { begin, end, bins })
    this.minutes = new Map()
    for (const [at, severity, count] of minutes) {
      const held = this.minutes.get(at) ?? { critical: 0, high: 0 }
      held[severity === "critical" ? "critical" : "high"] += count
      this.minutes.set(at, held)
    }
    this.slider.setAttribute("aria-valuemin", 0)
    this.slider.setAttribute("aria-valuemax", Math.round((end - begin) / 1000))
    this.draw()
  }

  get width() {
    return this.size[0] - LEFT - RIGHT
  }

  x(ms) {
    return LEFT + ((ms - this.begin) / (this.end - this.begin)) * this.width
  }

  msAt(event) {
    const x = event.clientX - this.slider.getBoundingClientRect().left
    return this.begin + Math.max(0, Math.min(1, (x - LEFT) / this.width)) * (this.end - this.begin)
  }

  go(event) {
    if (this.end > this.begin) this.seek(this.msAt(event))
  }

  move(ms) {
    this.at = ms
    const x = this.end > this.begin ? this.x(ms) : LEFT
    this.cursor.setAttribute("transform", `translate(${x} 0)`)
    this.past.setAttribute("width", Math.max(0, x - LEFT))
    const second = Math.round((ms - this.begin) / 1000)
    if (this.second !== second) {
      this.second = second
      this.slider.setAttribute("aria-valuenow", second)
      this.slider.setAttribute("aria-valuetext", this.clock.time(ms))
    }
  }

  draw() {
    const [width, height] = this.size
    this.still.replaceChildren()
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    this.svg.toggleAttribute("hidden", !(width > 120 && this.end > this.begin))
    if (!(width > 120 && this.end > this.begin)) return
    const lane = (height - AXIS - GAP) / 2
    this.drawBars(0, lane, "Alerts", this.grouped(), ["critical", "high"])
    this.drawBars(lane + GAP, lane, "Reports", this.bins.map(([at, count]) => [at, at + BIN, { reports: count }]), ["reports"])
    this.drawAxis(height)
    this.past.setAttribute("height", height - AXIS)
    for (const line of [this.cross, this.cursor.firstChild]) line.setAttribute("y2", height - AXIS)
    this.move(this.at ?? this.begin)
    this.point(null)
  }

  // Alerts by the minute, or by more of them if a minute would be too thin to see.
  grouped() {
    const step = [MINUTE, ...STEPS].find((one) => (one / (this.end - this.begin)) * this.width >= LEAST_PX) ?? STEPS.at(-1)
    this.step = step
    const groups = new Map()
    for (const [at, counts] of this.minutes) {
      const first = Math.floor(at / step) * step
      const held = groups.get(first) ?? { critical: 0, high: 0 }
      groups.set(first, { critical: held.critical + counts.critical, high: held.high + counts.high })
    }
    this.groups = groups
    return [...groups].map(([first, counts]) => [first, first + step, counts])
  }

  drawBars(top, height, name, bars, kinds) {
    const most = Math.max(1, ...bars.map(([, , counts]) => kinds.reduce((sum, kind) => sum + counts[kind], 0)))
    const base = top + height
    this.still.append(
      shape("text", { x: LEFT - 8, y: top + 11, "text-anchor": "end", class: "name" }, name),
      shape("text", { x: LEFT - 8, y: base - 1, "text-anchor": "end" }, bars.length ? `max ${compact(most)}` : "none"),
      shape("line", { class: "base", x1: LEFT, x2: LEFT + this.width, y1: base, y2: base }))
    for (const [from, to, counts] of bars) {
      const x0 = Math.max(this.x(from), LEFT)
      const x1 = Math.min(this.x(to), LEFT + this.width)
      let y = base
      for (const kind of kinds) {
        if (!counts[kind] || x1 <= x0) continue
        const tall = Math.max(1.5, (counts[kind] / most) * (height - 3))
        y -= tall
        this.still.append(shape("rect", { class: kind, x: x0, y: Math.max(top, y), width: Math.max(1, x1 - x0 - 1), height: tall }))
      }
    }
  }

  drawAxis(height) {
    const step = STEPS.find((one) => (one / (this.end - this.begin)) * this.width >= 62) ?? STEPS.at(-1)
    const offset = this.clock.offset(this.begin)
    for (let at = Math.ceil((this.begin + offset) / step) * step - offset; at <= this.end; at += step) {
      const x = this.x(at)
      this.still.append(shape("line", { class: "tick", x1: x, x2: x, y1: 0, y2: height - AXIS + 4 }),
        shape("text", { x: Math.min(x, LEFT + this.width - 6), y: height - 4, "text-anchor": "middle" }, this.clock.minutes.format(at)))
    }
  }

  // Say what there is at a time; of nothing, what there is in all.
  point(ms) {
    this.cross.toggleAttribute("hidden", ms == null)
    if (!(this.end > this.begin)) return setText(this.readout, "")
    if (ms == null) {
      const all = [...this.minutes].reduce((sum, [, { critical, high }]) => sum + critical + high, 0)
      const reports = this.bins.reduce((sum, [, count]) => sum + count, 0)
      return setText(this.readout, `${this.words(all, "alert")} opened, ${this.words(reports, "report")}`)
    }
    for (const end of ["x1", "x2"]) this.cross.setAttribute(end, this.x(ms))
    const first = Math.floor(ms / this.step) * this.step
    const { critical = 0, high = 0 } = this.groups.get(first) ?? {}
    const bin = this.bins.find(([at]) => at <= ms && ms < at + BIN)
    const span = this.step > MINUTE ? ` in ${this.step / MINUTE} min` : ""
    setText(this.readout, `${this.clock.minutes.format(ms)}: ${this.words(critical + high, "alert")}${critical ? `, ${critical} critical,` : ""}${span}; ${this.words(bin?.[1] ?? 0, "report")} in 5 min`)
  }

  words(count, noun) {
    return `${count ? number(count, 0) : "no"} ${noun}${count === 1 ? "" : "s"}`
  }
}

// A long list in a small frame: only rows in view have nodes, which are changed in place, so
// that an arrival costs the same whatever the length of the list. It knows no alerts.

import { el } from "./format.js"

const BEYOND = 6 // rows drawn above and below the view

export class Roll {
  // `make(item)` gives an item its `node`, `write(item)` fills it, `mark(item)` says how it stands. `drawn()` is
  // called when all are, `scrolled()` when somebody scrolls.
  constructor(label, { make, write, mark, drawn, scrolled }) {
    Object.assign(this, { make, write, mark, on: { drawn, scrolled } })
    this.items = [] // in the order of the screen
    this.drawn = new Set() // those that have a node
    this.top = 0 // what scrollTop is, as asking for it costs a layout
    this.height = 0
    this.rowHeight = 1
    this.element = el("div", "rows")
    this.element.setAttribute("role", "listbox")
    this.element.setAttribute("aria-label", label)
    this.element.setAttribute("aria-multiselectable", "true")
    this.element.tabIndex = 0
    this.element.addEventListener("scroll", () => {
      this.top = this.element.scrollTop
      this.on.scrolled()
      this.draw()
    }, { passive: true })
    this.sheet = el("div", "sheet")
    this.element.append(this.sheet)
    new ResizeObserver(() => this.measure()).observe(this.element)
  }

  // The number of the first row in view.
  get first() {
    return Math.floor(this.top / this.rowHeight)
  }

  // The first row in view for which `holds`, to hold the view by; nothing at the very top, where new ones may push.
  anchor(holds) {
    if (this.top > 0) this.top = this.element.scrollTop
    if (this.top <= 0) return null
    for (let at = this.first; at < this.items.length; at++) if (holds(this.items[at])) return { item: this.items[at], at }
    return null
  }

  scrollTo(y) {
    this.element.scrollTop = y
    this.top = this.element.scrollTop
  }

  scrollBy(rows) {
    if (rows) this.scrollTo(this.top + rows * this.rowHeight)
  }

  reveal(at) {
    const y = at * this.rowHeight
    if (y < this.top) this.scrollTo(y)
    else if (y + this.rowHeight > this.top + this.height) this.scrollTo(y + this.rowHeight - this.height)
  }

  measure() {
    const first = this.top / this.rowHeight
    this.rowHeight = parseFloat(getComputedStyle(this.element).getPropertyValue("--row-height"))
    this.height = this.element.clientHeight
    this.drawn.forEach((item) => { item.at = -1 })
    this.stretch()
    this.scrollTo(first * this.rowHeight)
    this.draw()
  }

  // To be called when there are more or fewer items.
  stretch() {
    this.sheet.style.height = `${this.items.length * this.rowHeight}px`
  }

  // Give the rows in view their nodes, and take those of others. An item is written anew if it is `stale`.
  draw() {
    const from = Math.max(0, this.first - BEYOND)
    const to = Math.min(this.items.length, Math.ceil((this.top + this.height) / this.rowHeight) + BEYOND)
    const now = new Set(this.items.slice(from, to))
    for (const item of this.drawn) {
      if (now.has(item)) continue
      item.node.remove()
      item.node = null
      item.fresh = false
    }
    this.drawn = now
    let before = null
    for (let at = from; at < to; at++) before = this.drawItem(this.items[at], at, before)
    this.on.drawn()
  }

  // The order of the nodes is that of the screen, for those who have it read to them.
  drawItem(item, at, before) {
    if (!item.node) {
      this.make(item)
      item.stale = true
      item.at = -1
    }
    if (item.stale) {
      this.write(item)
      item.stale = false
    }
    if (item.at !== at) {
      item.node.style.transform = `translateY(${at * this.rowHeight}px)`
      item.node.setAttribute("aria-posinset", at + 1)
      item.at = at
    }
    const place = before ? before.nextSibling : this.sheet.firstChild
    if (place !== item.node) this.sheet.insertBefore(item.node, place)
    item.node.setAttribute("aria-setsize", this.items.length)
    this.mark(item)
    return item.node
  }
}

// The list of alerts. What is in view stays where it is when others arrive above
// it, and the selection stays. Only rows in view have nodes, changed in place, so
// that an arrival costs the same whatever the length of the list.

import { choice, citizen, el, kind, number, setText } from "./format.js"
import { FILTERS, ORDERS, isListed, samePlace } from "./order.js"
import { makeRow, writeAge, writeRow } from "./row.js"

const BEYOND = 6 // rows drawn above and below the view

export class AlertList {
  constructor(clock, capacity, onSelect) {
    this.clock = clock
    this.capacity = capacity
    this.onSelect = onSelect
    this.items = new Map() // by id, the one that changed longest ago first
    this.shown = [] // items in the order of the screen
    this.drawn = new Set() // items that have a node
    this.order = "severe"
    this.filter = "all"
    this.selected = null
    this.unseen = 0
    this.top = 0 // what scrollTop is, as asking for it costs a layout
    this.height = 0
    this.rowHeight = 1
    this.build()
    setInterval(() => this.drawn.forEach((item) => writeAge(item, this.clock)), 1000)
  }

  // `fresh` is false for what was there before the page was opened.
  apply(rows, fresh) {
    if (this.top > 0) this.top = this.body.scrollTop
    const first = Math.floor(this.top / this.rowHeight)
    const anchor = this.top > 0 ? this.anchor(first, new Set(rows.map((row) => row.alert_id))) : null
    this.above = 0
    for (const row of rows) this.take(row, fresh, first)
    this.unseen += this.above
    while (this.items.size > this.capacity) {
      const [id, item] = this.items.entries().next().value
      this.hide(item)
      this.items.delete(id)
    }
    this.stretch()
    if (anchor) {
      const moved = this.position(anchor.item.row) - anchor.at
      if (moved) this.scrollTo(this.top + moved * this.rowHeight)
    }
    this.draw()
    this.writeNotes()
    if (this.selected && rows.some((row) => row.alert_id === this.selected)) this.tell()
  }

  take(row, fresh, first) {
    const known = this.items.get(row.alert_id)
    if (known && known.row.revision >= row.revision) return
    this.items.delete(row.alert_id)
    const stays = known && samePlace(known.row, row)
    if (known && !stays) this.hide(known)
    if (!isListed(row)) return
    const item = known ?? { node: null, fresh }
    item.row = row
    item.stale = true
    this.items.set(row.alert_id, item)
    if (stays || !FILTERS[this.filter](row)) return
    const at = this.position(row)
    this.shown.splice(at, 0, item)
    if (known || !fresh) return
    if (this.top > 0 && at <= first + this.above) this.above += 1
    if (kind(row) === "critical") setText(this.voice, `New critical alert: ${citizen(row)}`)
  }

  select(id, reveal = false) {
    this.selected = id && this.items.has(id) ? id : null
    const at = this.shown.indexOf(this.items.get(this.selected))
    if (reveal && at >= 0) {
      const y = at * this.rowHeight
      if (y < this.top) this.scrollTo(y)
      else if (y + this.rowHeight > this.top + this.height) this.scrollTo(y + this.rowHeight - this.height)
    }
    this.draw()
    this.tell()
  }

  row(id) {
    return this.items.get(id)?.row ?? null
  }

  tell() {
    this.onSelect(this.row(this.selected))
  }

  build() {
    this.body = el("div", "rows")
    this.body.setAttribute("role", "listbox")
    this.body.setAttribute("aria-label", "Alerts")
    this.body.tabIndex = 0
    this.body.addEventListener("click", (event) => {
      const node = event.target.closest(".row")
      if (node) this.select(node.dataset.id)
    })
    this.body.addEventListener("keydown", (event) => this.key(event))
    this.body.addEventListener("scroll", () => this.scrolled(), { passive: true })
    this.sheet = el("div", "sheet")
    this.body.append(this.sheet)
    new ResizeObserver(() => this.measure()).observe(this.body)
    this.empty = el("p", "empty", "No alerts. New ones appear here by themselves.")
    this.more = el("button", "more")
    this.more.hidden = true
    this.more.addEventListener("click", () => {
      this.scrollTo(0)
      this.seen()
      this.draw()
    })
    this.note = el("span", "note")
    this.voice = el("div", "unseen-text")
    this.voice.setAttribute("aria-live", "polite")
    const filters = choice("Show", { all: "All", critical: "Critical", high: "High", recovered: "Recovered" }, (one) => this.arrange(one, this.order))
    const orders = choice("Order", { severe: "Most severe", newest: "Newest" }, (one) => this.arrange(this.filter, one))
    const head = el("div", "head", ...["Severity", "Citizen", "Score", "Raised", "Where", "State"].map((t) => el("span", "", t)))
    head.setAttribute("aria-hidden", "true")
    this.element = el("section", "list card", el("header", "tools", el("h2", "", "Alerts"), this.note, filters, orders), head,
      el("div", "frame", this.body, this.empty, this.more), this.voice)
  }

  arrange(filter, order) {
    this.filter = filter
    this.order = order
    this.shown = [...this.items.values()].filter((item) => FILTERS[this.filter](item.row))
    this.shown.sort((a, b) => ORDERS[this.order](a.row, b.row))
    this.stretch()
    this.scrollTo(0)
    this.seen()
    this.draw()
  }

  seen() {
    this.unseen = 0
    this.writeNotes()
  }

  key(event) {
    const at = this.shown.findIndex((item) => item.row.alert_id === this.selected)
    const last = this.shown.length - 1
    const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key]
    if (event.key === "Escape") this.select(null)
    if (to === undefined || last < 0) return
    event.preventDefault()
    this.select(this.shown[to].row.alert_id, true)
  }

  // Where a row belongs, by bisection.
  position(row) {
    let low = 0
    let high = this.shown.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (ORDERS[this.order](this.shown[middle].row, row) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  // To be called before the item's row changes: it is found by its place in the order.
  hide(item) {
    const at = this.position(item.row)
    if (this.shown[at] === item) this.shown.splice(at, 1)
  }

  // The first row in view that is not about to change, to hold the view by.
  anchor(first, changing) {
    for (let at = first; at < this.shown.length; at++) {
      if (!changing.has(this.shown[at].row.alert_id)) return { item: this.shown[at], at }
    }
    return null
  }

  scrollTo(y) {
    this.body.scrollTop = y
    this.top = this.body.scrollTop
  }

  scrolled() {
    this.top = this.body.scrollTop
    if (this.top <= 0) this.seen()
    this.draw()
  }

  measure() {
    const first = this.top / this.rowHeight
    this.rowHeight = parseFloat(getComputedStyle(this.body).getPropertyValue("--row-height"))
    this.height = this.body.clientHeight
    this.drawn.forEach((item) => { item.at = -1 })
    this.stretch()
    this.scrollTo(first * this.rowHeight)
    this.draw()
  }

  stretch() {
    this.sheet.style.height = `${this.shown.length * this.rowHeight}px`
  }

  // Give the rows in view their nodes, and take those of others.
  draw() {
    const from = Math.max(0, Math.floor(this.top / this.rowHeight) - BEYOND)
    const to = Math.min(this.shown.length, Math.ceil((this.top + this.height) / this.rowHeight) + BEYOND)
    const now = new Set(this.shown.slice(from, to))
    for (const item of this.drawn) {
      if (now.has(item)) continue
      item.node.remove()
      item.node = null
      item.fresh = false
    }
    this.drawn = now
    let before = null
    for (let at = from; at < to; at++) before = this.drawItem(this.shown[at], at, before)
    const selected = this.items.get(this.selected)
    if (selected?.node) this.body.setAttribute("aria-activedescendant", selected.node.id)
    else this.body.removeAttribute("aria-activedescendant")
  }

  // The order of the nodes is that of the screen, for those who have it read to them.
  drawItem(item, at, before) {
    if (!item.node) {
      makeRow(item)
      item.stale = true
      item.at = -1
    }
    if (item.stale) {
      writeRow(item, this.clock)
      item.stale = false
    }
    if (item.at !== at) {
      item.node.style.transform = `translateY(${at * this.rowHeight}px)`
      item.node.setAttribute("aria-posinset", at + 1)
      item.at = at
    }
    const place = before ? before.nextSibling : this.sheet.firstChild
    if (place !== item.node) this.sheet.insertBefore(item.node, place)
    item.node.setAttribute("aria-setsize", this.shown.length)
    item.node.setAttribute("aria-selected", String(item.row.alert_id === this.selected))
    return item.node
  }

  writeNotes() {
    this.empty.hidden = this.shown.length > 0
    setText(this.empty, this.items.size ? "No alert of this kind." : "No alerts. New ones appear here by themselves.")
    this.more.hidden = this.unseen === 0
    setText(this.more, `↑ ${this.unseen} new above`)
    const all = this.filter === "all" ? "" : ` of ${number(this.items.size)}`
    setText(this.note, `${number(this.shown.length)}${all}${this.total > this.items.size ? `, the newest of ${number(this.total)}` : ""}`)
  }

  setTotal(total) {
    this.total = total
    this.writeNotes()
  }
}

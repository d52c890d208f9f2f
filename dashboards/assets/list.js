// The list of alerts. What is in view stays where it is when others arrive above
// it, and the selection stays. Only rows in view have nodes, changed in place, so
// that an arrival costs the same whatever the length of the list.

import { citizen, el, kind, number, setText } from "./format.js"
import { ORDERS, fits, isListed, samePlace } from "./order.js"
import { makeRow, writeClock, writeRow } from "./row.js"
import { isResolved, isSilenced, isWaiting } from "./state.js"

const BEYOND = 6 // rows drawn above and below the view
const NONE = "No alerts. New ones appear here by themselves."

export class AlertList {
  // `on` has what to call: `select(row)`, `marks()`, `arrive(rows)`.
  constructor(clock, limits, capacity, filters, on) {
    this.clock = clock
    this.limits = limits
    this.capacity = capacity
    this.filters = filters
    this.on = on
    this.items = new Map() // by id, the one that changed longest ago first
    this.resolved = 0 // how many of them are resolved
    this.shown = [] // items in the order of the screen
    this.drawn = new Set() // items that have a node
    this.marked = new Set() // ids
    this.lastMarked = null
    this.selected = null
    this.lastAt = 0 // where the selected one was when it was last shown
    this.unseen = 0
    this.top = 0 // what scrollTop is, as asking for it costs a layout
    this.height = 0
    this.rowHeight = 1
    this.build()
    filters.onChange = () => this.arrange()
    setInterval(() => this.tick(), 1000)
  }

  // `fresh` is false for what was there before the page was opened.
  apply(rows, fresh) {
    if (this.top > 0) this.top = this.body.scrollTop
    const first = Math.floor(this.top / this.rowHeight)
    const anchor = this.top > 0 ? this.anchor(first, new Set(rows.map((row) => row.alert_id))) : null
    this.above = 0
    this.arrived = []
    for (const row of rows) this.take(row, fresh, first)
    this.unseen += this.above
    this.forgetOld()
    this.stretch()
    if (anchor) {
      const moved = this.position(anchor.item.row) - anchor.at
      if (moved) this.scrollTo(this.top + moved * this.rowHeight)
    }
    this.draw()
    this.writeNotes()
    if (this.selected && rows.some((row) => row.alert_id === this.selected)) this.tell()
    this.on.marks()
    if (this.arrived.length) this.on.arrive(this.arrived)
  }

  take(row, fresh, first) {
    const known = this.items.get(row.alert_id)
    if ((known && known.row.revision >= row.revision) || !isListed(row)) return
    this.forget(row.alert_id)
    const fit = fits(row, this.filters.filter, this.clock)
    const stays = known?.listed && fit && samePlace(known.row, row)
    if (known?.listed && !stays) this.hide(known)
    const item = known ?? { node: null, fresh, listed: false }
    item.row = row
    item.stale = true
    item.silenced = isSilenced(row, this.clock.now())
    this.items.set(row.alert_id, item)
    if (isResolved(row)) this.resolved += 1
    if (!fit) this.marked.delete(row.alert_id)
    if (!known && fresh && isWaiting(row, this.clock.now()) && !row.late) this.arrived.push(row)
    if (stays || !fit) return
    const at = this.position(row)
    this.shown.splice(at, 0, item)
    item.listed = true
    if (known || !fresh) return
    if (this.top > 0 && at <= first + this.above) this.above += 1
    if (kind(row) === "critical") setText(this.voice, `New critical alert: ${citizen(row)}`)
  }

  // Resolved ones have room of their own, so that they never displace what waits for somebody.
  forgetOld() {
    for (const [id, item] of this.items) {
      const over = isResolved(item.row) ? this.resolved > this.capacity : this.items.size - this.resolved > this.capacity
      if (over) {
        if (item.listed) this.hide(item)
        this.marked.delete(id)
        this.forget(id)
      } else if (this.resolved <= this.capacity && this.items.size - this.resolved <= this.capacity) return
    }
  }

  forget(id) {
    const item = this.items.get(id)
    if (item && isResolved(item.row)) this.resolved -= 1
    this.items.delete(id)
  }

  tick() {
    const now = this.clock.now()
    let ended = false
    for (const item of this.items.values()) ended ||= item.silenced && !isSilenced(item.row, now)
    if (ended) this.refill()
    this.drawn.forEach((item) => writeClock(item, this.clock, this.limits))
  }

  select(id, reveal = false) {
    this.selected = id && this.items.has(id) ? id : null
    const at = this.shown.indexOf(this.items.get(this.selected))
    if (at >= 0) this.lastAt = at
    if (reveal && at >= 0) {
      const y = at * this.rowHeight
      if (y < this.top) this.scrollTo(y)
      else if (y + this.rowHeight > this.top + this.height) this.scrollTo(y + this.rowHeight - this.height)
    }
    this.draw()
    this.tell()
  }

  // Select the one so many places away; if the selected one has left the list, the one that took its place counts.
  move(by) {
    if (!this.shown.length) return
    const at = this.shown.indexOf(this.items.get(this.selected))
    const from = at >= 0 ? at : this.selected && by > 0 ? this.lastAt - 1 : this.selected ? this.lastAt : -1
    const to = Math.max(0, Math.min(from + by, this.shown.length - 1))
    this.select(this.shown[to].row.alert_id, true)
  }

  row(id) {
    return this.items.get(id)?.row ?? null
  }

  // What an action is about: the marked ones, else the selected one.
  targets() {
    const ids = this.marked.size ? [...this.marked] : this.selected ? [this.selected] : []
    return ids.map((id) => this.row(id)).filter(Boolean)
  }

  mark(id, range = false) {
    const at = this.shown.findIndex((item) => item.row.alert_id === id)
    const from = range ? this.shown.findIndex((item) => item.row.alert_id === this.lastMarked) : -1
    if (from >= 0) {
      for (const item of this.shown.slice(Math.min(from, at), Math.max(from, at) + 1)) this.marked.add(item.row.alert_id)
    } else if (!this.marked.delete(id)) this.marked.add(id)
    this.lastMarked = id
    this.draw()
    this.on.marks()
  }

  markAll(all) {
    this.marked = new Set(all ? this.shown.map((item) => item.row.alert_id) : [])
    this.draw()
    this.on.marks()
  }

  tell() {
    this.on.select(this.row(this.selected))
  }

  build() {
    this.body = el("div", "rows")
    this.body.setAttribute("role", "listbox")
    this.body.setAttribute("aria-label", "Alerts")
    this.body.setAttribute("aria-multiselectable", "true")
    this.body.tabIndex = 0
    this.body.addEventListener("mousedown", (event) => {
      if (event.shiftKey) event.preventDefault() // or text would be selected
    })
    this.body.addEventListener("click", (event) => {
      const id = event.target.closest(".row")?.dataset.id
      if (!id) return
      if (event.shiftKey || event.ctrlKey || event.metaKey || event.target.closest(".c-mark")) this.mark(id, event.shiftKey)
      else this.select(id)
    })
    this.body.addEventListener("scroll", () => this.scrolled(), { passive: true })
    this.sheet = el("div", "sheet")
    this.body.append(this.sheet)
    new ResizeObserver(() => this.measure()).observe(this.body)
    this.empty = el("p", "empty", NONE)
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
    const head = el("div", "head", ...["", "Severity", "Citizen", "Score", "Raised", "Where", "State"].map((t) => el("span", "", t)))
    head.setAttribute("aria-hidden", "true")
    this.tools = el("header", "tools", el("h2", "", "Alerts"), this.note, this.filters.search)
    this.element = el("section", "list card", this.tools, this.filters.element, head,
      el("div", "frame", this.body, this.empty, this.more), this.voice)
  }

  arrange() {
    this.refill()
    this.scrollTo(0)
    this.seen()
    this.draw()
  }

  // Choose anew what is shown, and leave the view where it is.
  refill() {
    const now = this.clock.now()
    this.shown = []
    for (const item of this.items.values()) {
      item.silenced = isSilenced(item.row, now)
      item.listed = fits(item.row, this.filters.filter, this.clock)
      item.stale = true
      if (item.listed) this.shown.push(item)
      else this.marked.delete(item.row.alert_id)
    }
    this.shown.sort((a, b) => ORDERS[this.filters.order](a.row, b.row))
    this.stretch()
    this.draw()
    this.writeNotes()
    this.on.marks()
  }

  seen() {
    this.unseen = 0
    this.writeNotes()
  }

  // Where a row belongs, by bisection.
  position(row) {
    let low = 0
    let high = this.shown.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (ORDERS[this.filters.order](this.shown[middle].row, row) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  // To be called before the item's row changes: it is found by its place in the order.
  hide(item) {
    const at = this.position(item.row)
    if (this.shown[at] === item) this.shown.splice(at, 1)
    if (item.row.alert_id === this.selected) this.lastAt = at
    item.listed = false
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
      writeRow(item, this.clock, this.limits)
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
    item.node.setAttribute("aria-checked", String(this.marked.has(item.row.alert_id)))
    return item.node
  }

  writeNotes() {
    const open = this.items.size - this.resolved
    this.empty.hidden = this.shown.length > 0
    setText(this.empty, this.filters.isUsual || !this.items.size ? NONE : "No alert fits these filters.")
    this.more.hidden = this.unseen === 0
    setText(this.more, `↑ ${this.unseen} new above`)
    const all = this.filters.isUsual ? "" : ` of ${number(open)} open`
    setText(this.note, `${number(this.shown.length)}${all}${this.total > open ? `, the newest of ${number(this.total)}` : ""}`)
  }

  setTotal(total) {
    this.total = total
    this.writeNotes()
  }
}

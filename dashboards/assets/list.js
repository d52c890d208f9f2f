// The list of alerts: which there are, which of them are shown, selected and marked. What
// is in view stays where it is when others arrive above it, and the selection stays.

import { citizen, el, kind, number, setText } from "./format.js"
import { ORDERS, fits, isListed, samePlace } from "./order.js"
import { Roll } from "./roll.js"
import { makeRow, writeClock, writeRow } from "./row.js"
import { isResolved, isSilenced, isWaiting } from "./state.js"

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
    this.marked = new Set() // ids
    this.lastMarked = null
    this.selected = null
    this.lastAt = 0 // where the selected one was when it was last shown
    this.unseen = 0
    this.roll = new Roll("Alerts", {
      make: makeRow,
      write: (item) => writeRow(item, clock, limits),
      mark: (item) => this.markItem(item),
      drawn: () => this.markSelected(),
      scrolled: () => this.roll.top <= 0 && this.seen(),
    })
    this.build()
    filters.onChange = () => this.arrange()
    setInterval(() => this.tick(), 1000)
  }

  // Items in the order of the screen.
  get shown() {
    return this.roll.items
  }

  // `fresh` is false for what was there before the page was opened.
  apply(rows, fresh) {
    const changing = new Set(rows.map((row) => row.alert_id))
    const anchor = this.roll.anchor((item) => !changing.has(item.row.alert_id))
    const first = this.roll.first
    this.above = 0
    this.arrived = []
    for (const row of rows) this.take(row, fresh, first)
    this.unseen += this.above
    this.forgetOld()
    this.roll.stretch()
    if (anchor) this.roll.scrollBy(this.position(anchor.item.row) - anchor.at)
    this.draw()
    this.writeNotes()
    if (this.selected && changing.has(this.selected)) this.tell()
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
    if (this.roll.top > 0 && at <= first + this.above) this.above += 1
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
    this.roll.drawn.forEach((item) => writeClock(item, this.clock, this.limits))
  }

  select(id, reveal = false) {
    this.selected = id && this.items.has(id) ? id : null
    const at = this.shown.indexOf(this.items.get(this.selected))
    if (at >= 0) this.lastAt = at
    if (reveal && at >= 0) this.roll.reveal(at)
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
    this.roll.element.addEventListener("mousedown", (event) => {
      if (event.shiftKey) event.preventDefault() // or text would be selected
    })
    this.roll.element.addEventListener("click", (event) => {
      const id = event.target.closest(".row")?.dataset.id
      if (!id) return
      if (event.shiftKey || event.ctrlKey || event.metaKey || event.target.closest(".c-mark")) this.mark(id, event.shiftKey)
      else this.select(id)
    })
    this.empty = el("p", "empty", NONE)
    this.more = el("button", "more")
    this.more.hidden = true
    this.more.addEventListener("click", () => {
      this.roll.scrollTo(0)
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
      el("div", "frame", this.roll.element, this.empty, this.more), this.voice)
  }

  arrange() {
    this.refill()
    this.roll.scrollTo(0)
    this.seen()
    this.draw()
  }

  // Choose anew what is shown, and leave the view where it is.
  refill() {
    const now = this.clock.now()
    const shown = []
    for (const item of this.items.values()) {
      item.silenced = isSilenced(item.row, now)
      item.listed = fits(item.row, this.filters.filter, this.clock)
      item.stale = true
      if (item.listed) shown.push(item)
      else this.marked.delete(item.row.alert_id)
    }
    this.roll.items = shown.sort((a, b) => ORDERS[this.filters.order](a.row, b.row))
    this.roll.stretch()
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

  draw() {
    this.roll.draw()
  }

  markSelected() {
    const node = this.items.get(this.selected)?.node
    if (node) this.roll.element.setAttribute("aria-activedescendant", node.id)
    else this.roll.element.removeAttribute("aria-activedescendant")
  }

  markItem({ node, row }) {
    node.setAttribute("aria-selected", String(row.alert_id === this.selected))
    node.setAttribute("aria-checked", String(this.marked.has(row.alert_id)))
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

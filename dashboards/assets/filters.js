// The controls above the list: which alerts it shows, and in which order.

import { choice, el } from "./format.js"
import { SEVERITIES, STATES, USUAL } from "./order.js"

export class Filters {
  constructor(districts, onChange) {
    this.filter = { ...USUAL }
    this.order = "severe"
    this.onChange = onChange
    this.search = el("input", "field search")
    this.search.type = "search"
    this.search.placeholder = "Search name, drone, action, words"
    this.search.setAttribute("aria-label", "Search the alerts")
    this.search.setAttribute("aria-keyshortcuts", "/")
    this.search.addEventListener("input", () => this.set({ text: this.search.value.trim().toLowerCase() }))
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || event.key === "Enter") this.search.blur()
    })
    const states = this.options("State", Object.entries(STATES).map(([key, [word]]) => [key, word]), (state) => this.set({ state }))
    const places = this.options("District", [["", "All districts"], ...districts.map((name) => [name, name])], (district) => this.set({ district }))
    this.element = el("div", "filters",
      choice("Severity", SEVERITIES, (severity) => this.set({ severity })), states, places,
      choice("Order", { severe: "Most severe", newest: "Newest" }, (order) => {
        this.order = order
        this.onChange()
      }))
  }

  get isUsual() {
    return Object.entries(USUAL).every(([key, value]) => this.filter[key] === value)
  }

  set(change) {
    Object.assign(this.filter, change)
    this.onChange()
  }

  options(label, entries, pick) {
    const select = el("select", "field", ...entries.map(([value, text]) => {
      const option = el("option", "", text)
      option.value = value
      return option
    }))
    select.setAttribute("aria-label", label)
    select.addEventListener("change", () => pick(select.value))
    return select
  }
}

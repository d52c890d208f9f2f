// What is known of the selected alert.

import { capital, citizen, el, icon, kind, lateness, number, place, score } from "./format.js"

export class Detail {
  constructor(clock, onClose) {
    this.clock = clock
    this.onClose = onClose
    this.element = el("section", "detail card")
    this.element.setAttribute("aria-label", "Selected alert")
    this.show(null)
  }

  show(row) {
    this.element.classList.toggle("open", row != null)
    if (!row) {
      this.element.replaceChildren(el("p", "empty", "Select an alert, in the list or on the map, to see what is known of it."))
      return
    }
    const close = el("button", "quiet", icon("close"))
    close.setAttribute("aria-label", "Close the details")
    close.addEventListener("click", () => this.onClose())
    const badge = el("span", `badge ${kind(row)}`, icon(kind(row)), row.state === "open" ? capital(row.severity) : `${capital(row.severity)}, ${row.state}`)
    const facts = el("dl", "",
      ...this.fact("Score", `${score(row.score)}, limit ${number(row.threshold)}`, `worst ${score(row.worst_peacescore)} of 100, ${number(row.findings)} bad sighting${row.findings === 1 ? "" : "s"}`),
      ...this.fact("Action", row.action || "not said"),
      ...this.fact("Words", ...this.words(row.words)),
      ...this.fact("Others", ...this.others(row.others)),
      ...this.fact("Seen", this.clock.moment(row.time), `by ${row.drone_id ?? "an unknown drone"} at ${place(row)}`),
      ...this.fact("Accepted", this.clock.moment(row.accepted_at), lateness(row)),
      ...this.fact("Raised", this.clock.moment(row.raised_at), `rule ${row.rule}`))
    const scroll = this.element.querySelector(".facts")?.scrollTop ?? 0
    const same = this.element.dataset.id === row.alert_id
    const id = row.citizen_name && row.citizen_id ? el("span", "id", row.citizen_id) : null
    this.element.replaceChildren(el("header", "", badge, el("h2", "", citizen(row)), id, close), el("div", "facts", facts))
    this.element.dataset.id = row.alert_id
    if (same) this.element.querySelector(".facts").scrollTop = scroll
  }

  fact(name, ...values) {
    const [first, ...rest] = values.filter((value) => value !== "")
    return [el("dt", "", name), el("dd", "", first, ...rest.map((value) => (typeof value === "string" ? el("span", "aside", value) : value)))]
  }

  words(words) {
    return words?.length ? words.map((word) => el("span", "chip", String(word))) : ["none heard"]
  }

  others(others) {
    if (!others?.length) return ["nobody"]
    return others.map((one) => el("span", "chip", `${one.name || one.id || "unknown"} ${score(one.peacescore)}`))
  }
}

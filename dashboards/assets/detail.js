// What is known of the selected alert, what was done to it, and what can be.

import { capital, citizen, el, icon, lateness, number, place, score, setText } from "./format.js"
import { keyList } from "./keys.js"
import { standing } from "./state.js"
import { historyLine } from "./work.js"

const FOLDED = "peacewatch-details-folded"
const ASK_AFTER_MS = 250 // whoever walks through the list does not look at each

export class Detail {
  // `ask` is called with the alert whose history is wanted.
  constructor(clock, limits, work, ask, onClose) {
    Object.assign(this, { clock, limits, ask })
    this.row = null
    this.written = ""
    this.element = el("section", "detail card")
    this.element.setAttribute("aria-label", "Selected alert")
    this.fold = el("button", "quiet fold", icon("fold"))
    this.fold.addEventListener("click", () => this.setFolded(!this.element.classList.contains("folded")))
    this.close = el("button", "quiet", icon("close"))
    this.close.setAttribute("aria-label", "Close the details")
    this.close.addEventListener("click", onClose)
    this.blank = el("header", "blank", el("span", "muted", "Nothing is selected"))
    this.empty = el("div", "facts", el("p", "muted", "Select an alert, in the list or on the map, to see what is known of it and what was done."), keyList())
    this.badge = el("span", "badge")
    this.name = el("h2")
    this.id = el("span", "id")
    this.state = el("p", "standing")
    this.facts = el("dl")
    this.history = el("ol", "history")
    this.history.setAttribute("aria-label", "What was done")
    const { nodes, write } = work.buttons(() => (this.row ? [this.row] : []))
    this.writeButtons = write
    this.actions = el("footer", "work", ...nodes)
    this.page = el("a", "page", "Its page")
    this.head = el("header", "", this.badge, this.name, this.id, this.page, this.close)
    this.scroll = el("div", "facts", this.state, this.facts, el("h3", "", "What was done"), this.history)
    this.scroll.tabIndex = 0
    this.setFolded(remembered())
    this.place(null)
    setInterval(() => this.row && this.writeState(), 1000)
  }

  show(row) {
    const other = row?.alert_id !== this.row?.alert_id
    const worked = other || row?.case_version !== this.row?.case_version || row?.comments !== this.row?.comments
    this.row = row
    this.element.classList.toggle("open", row != null)
    if (other) {
      this.history.replaceChildren()
      this.place(row)
      this.scroll.scrollTop = 0
    }
    clearTimeout(this.asking)
    if (!row) return
    this.write(row)
    if (worked) this.asking = setTimeout(() => this.ask(row.alert_id), other ? ASK_AFTER_MS : 0)
  }

  place(row) {
    this.element.replaceChildren(...(row ? [this.head, this.scroll, this.actions] : [this.blank, this.empty]))
    if (row) this.close.before(this.fold)
    else this.blank.append(this.fold)
  }

  // Folded, only its head and what can be done are there, and the map has the rest.
  setFolded(folded) {
    this.element.classList.toggle("folded", folded)
    this.fold.setAttribute("aria-expanded", String(!folded))
    this.fold.setAttribute("aria-label", folded ? "Unfold the details" : "Fold the details")
    this.fold.title = folded ? "Show the details" : "More room for the map"
    try {
      localStorage.setItem(FOLDED, folded ? "yes" : "")
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
  }

  showHistory({ alert_id, entries }) {
    if (this.row?.alert_id !== alert_id) return
    this.history.replaceChildren(...entries.map((entry) => historyLine(this.clock, entry)))
    if (!entries.length) this.history.append(el("li", "muted", "Nothing yet."))
  }

  write(row) {
    const look = row.severity === "critical" ? "critical" : "high"
    setText(this.name, citizen(row))
    setText(this.id, row.citizen_name && row.citizen_id ? row.citizen_id : "")
    this.page.href = new URL(`alert?id=${encodeURIComponent(row.alert_id)}`, document.baseURI)
    this.writeState()
    this.writeButtons()
    // What is selected to be copied, or scrolled to, stays as long as nothing in it changes.
    const said = JSON.stringify({ ...row, revision: 0 })
    if (said === this.written) return
    this.written = said
    this.badge.className = `badge ${look}`
    this.badge.replaceChildren(icon(look), capital(row.severity))
    this.facts.replaceChildren(
      ...this.fact("Score", `${score(row.score)}, limit ${number(row.threshold)}`, `worst ${score(row.worst_peacescore)} of 100, ${number(row.findings)} bad sighting${row.findings === 1 ? "" : "s"}`),
      ...this.fact("Action", row.action || "not said"),
      ...this.fact("Words", ...this.words(row.words)),
      ...this.fact("Others", ...this.others(row.others)),
      ...this.fact("Where", row.district == null ? place(row) : `District ${row.district}`, row.district == null ? "" : place(row)),
      ...this.fact("Seen", this.clock.moment(row.time), `by ${row.drone_id ?? "an unknown drone"}`),
      ...this.fact("Accepted", this.clock.moment(row.accepted_at), lateness(row)),
      ...this.fact("Raised", this.clock.moment(row.raised_at), `rule ${row.rule}`))
  }

  writeState() {
    const { key, word, note, late } = standing(this.row, this.clock, this.limits)
    if (this.state.dataset.state !== key) this.state.replaceChildren(icon(key), el("span"))
    this.state.dataset.state = key
    this.state.classList.toggle("overdue", Boolean(late))
    setText(this.state.lastChild, note ? `${word}, ${note}` : word)
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

function remembered() {
  try {
    return Boolean(localStorage.getItem(FOLDED))
  } catch {
    return false
  }
}

// What is known of the selected alert at the instant that is shown, and what became of it when.

import { capital, citizen, el, icon, lateness, number, place, score, setText } from "./format.js"
import { standing, who } from "./state.js"

export class PastDetail {
  // `named` says whether its page may be opened; `seek(ms)` goes to a time.
  constructor(clock, limits, named, seek, onClose) {
    Object.assign(this, { clock, limits, named, seek, row: null, turns: [] })
    const close = el("button", "quiet", icon("close"))
    close.setAttribute("aria-label", "Close the details")
    close.addEventListener("click", onClose)
    this.badge = el("span", "badge")
    this.name = el("h2")
    this.page = el("a", "page", "Its page")
    this.page.hidden = !named
    this.state = el("p", "standing", el("span"), el("span"))
    this.facts = el("dl")
    this.history = el("ol", "history")
    this.history.setAttribute("aria-label", "What happened")
    this.element = el("section", "detail card", el("header", "", this.badge, this.name, this.page, close),
      el("div", "facts", el("div", "", this.state, this.facts), el("div", "", el("h3", "", "What happened"), this.history)))
    this.element.setAttribute("aria-label", "Selected alert")
    this.element.hidden = true
  }

  show(row) {
    const other = row?.alert_id !== this.row?.alert_id
    this.row = row
    this.element.hidden = !row
    this.element.classList.toggle("open", row != null)
    if (!row) return
    if (other) {
      this.turns = []
      this.history.replaceChildren()
    }
    const look = row.severity === "critical" ? "critical" : "high"
    this.badge.className = `badge ${look}`
    this.badge.replaceChildren(icon(look), capital(row.severity))
    setText(this.name, citizen(row))
    this.page.href = new URL(`alert?id=${encodeURIComponent(row.alert_id)}`, document.baseURI)
    const fact = (name, value, aside) => [el("dt", "", name), el("dd", "", value, aside ? el("span", "aside", aside) : null)]
    this.facts.replaceChildren(
      ...fact("Score", `${score(row.score)}, limit ${number(row.threshold)}`, `worst ${score(row.worst_peacescore)} of 100, ${number(row.findings)} bad sighting${row.findings === 1 ? "" : "s"}`),
      ...(this.named ? fact("Action", row.action || "not said") : []),
      ...fact("Where", row.district == null ? place(row) : `District ${row.district}`, row.district == null ? "" : place(row)),
      ...fact("Seen", this.clock.moment(row.time), `by ${row.drone_id ?? "an unknown drone"}`),
      ...fact("Arrived", this.clock.moment(row.desk_at), lateness(row)))
    this.tick()
  }

  showTurns({ alert_id, turns }) {
    if (this.row?.alert_id !== alert_id) return
    this.turns = turns.map((turn) => {
      const go = el("button", "go", this.clock.moment(turn.at))
      go.title = "Go to this moment"
      go.addEventListener("click", () => this.seek(turn.at))
      const by = turn.by && turn.by !== "peacewatch" ? ` by ${who(turn.by)}` : ""
      const seen = ["opened", "seen again", "bad again"].includes(turn.what) && turn.score != null ? `, ${score(turn.score)}` : ""
      return { at: turn.at, node: el("li", "", go, el("span", "", `${capital(turn.what)}${by}${seen}`)) }
    })
    this.history.replaceChildren(...this.turns.map(({ node }) => node))
    this.tick()
  }

  // What the passing of time changes.
  tick() {
    if (!this.row) return
    const now = this.clock.now()
    const { key, word, note, late } = standing(this.row, this.clock, this.limits)
    if (this.state.dataset.state !== key) this.state.replaceChildren(icon(key), el("span"))
    this.state.dataset.state = key
    this.state.classList.toggle("overdue", Boolean(late))
    setText(this.state.lastChild, note ? `${word}, ${note}` : word)
    for (const { at, node } of this.turns) node.classList.toggle("ahead", at > now)
  }
}

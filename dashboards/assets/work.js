// Work on alerts: the buttons, what is asked before, and what is told after.

import { citizen, duration, el } from "./format.js"
import { isMine, isResolved, isSilenced, isTaken, spoken, who } from "./state.js"

const DONE = { acknowledge: "Acknowledged", assign: "Assigned", comment: "Commented on", resolve: "Resolved", reopen: "Reopened", silence: "Silenced", lift: "Lifted the silence of" }
const SHOWN_REFUSALS = 3
const KINDS = {
  acknowledge: ["Acknowledge", "a", (row) => !isResolved(row) && !isTaken(row)],
  assign: ["Assign", "s", (row) => !isResolved(row)],
  comment: ["Comment", "c", () => true],
  resolve: ["Resolve", "r", (row) => !isResolved(row)],
  silence: ["Silence", "m", (row, now) => !isResolved(row) && !isSilenced(row, now)],
  lift: ["Lift silence", null, (row, now) => isSilenced(row, now)],
  reopen: ["Reopen", null, isResolved],
}
const ASKS = new Set(["assign", "comment", "resolve", "silence"])

export class Work {
  // `rowOf` finds an alert by its id; `forget` is called with the ids that an action is done with.
  constructor(clock, send, dialogs, toasts, rowOf, forget) {
    Object.assign(this, { clock, send, dialogs, toasts, rowOf, forget })
    this.may = false // assign to others
    this.me = ""
  }

  fits(kind, rows) {
    const now = this.clock.now()
    return rows.filter((row) => KINDS[kind][2](row, now) && (kind !== "assign" || this.may || !isMine(row)))
  }

  // Buttons for what can be done with `rows()`, and what to call when that may have changed.
  buttons(rows) {
    const made = Object.entries(KINDS).map(([kind, [word, key]]) => {
      const button = el("button", kind === "acknowledge" ? "button primary" : "button", word)
      button.dataset.kind = kind
      if (key) {
        button.title = `Key: ${key}`
        button.setAttribute("aria-keyshortcuts", key)
      }
      button.addEventListener("click", () => this.act(kind, rows()))
      return [kind, button]
    })
    const write = () => {
      const now = rows()
      for (const [kind, button] of made) {
        const can = this.fits(kind, now).length > 0
        button.disabled = !can
        // Those that are seldom wanted come in the place of their contrary.
        if (kind === "lift" || kind === "reopen") button.hidden = !can
        if (kind === "silence") button.hidden = !can && this.fits("lift", now).length > 0
        if (kind === "resolve") button.hidden = !can && this.fits("reopen", now).length > 0
        if (kind === "assign" && button.textContent !== this.assignWord()) button.textContent = this.assignWord()
      }
    }
    return { nodes: made.map(([, button]) => button), write }
  }

  assignWord() {
    return this.may ? "Assign…" : "Assign to me"
  }

  act(kind, rows) {
    const fit = this.fits(kind, rows)
    if (!fit.length) return
    if (kind === "assign" && !this.may) this.order(kind, fit, { to: this.me })
    else if (ASKS.has(kind)) this.dialogs.ask(kind, fit, (said) => this.order(kind, fit, said))
    else this.order(kind, fit, {})
  }

  // The versions are those that the officer saw when choosing to act.
  order(kind, rows, { note, to, reason, minutes, scope }) {
    this.send({ act: { kind, alerts: rows.map((row) => [row.alert_id, row.case_version ?? 0]), note: note?.trim() || null, to: to ?? null, reason: reason ?? null, scope: scope ?? null, minutes: minutes ? Number(minutes) : null } })
  }

  answer({ kind, outcomes }) {
    const done = outcomes.filter((one) => one.done).map((one) => one.alert_id)
    const refused = outcomes.filter((one) => !one.done)
    this.forget(done)
    const names = (ids) => (ids.length === 1 ? this.name(ids[0]) : `${ids.length} alerts`)
    if (done.length) this.toasts.say(`${DONE[kind]} ${names(done)}.`)
    if (!refused.length) return
    const lines = refused.slice(0, SHOWN_REFUSALS).map((one) => `${this.name(one.alert_id)}: ${one.message}`)
    if (refused.length > SHOWN_REFUSALS) lines.push(`and ${refused.length - SHOWN_REFUSALS} more`)
    this.toasts.say(`Not ${DONE[kind][0].toLowerCase()}${DONE[kind].slice(1)}:`, lines, true)
  }

  // Somebody else tried what this user had done before.
  overtook({ alert_id, user_name, kind }) {
    this.toasts.say(`${spoken(user_name)} wanted to ${kind} ${this.name(alert_id)} too, but you were first.`)
  }

  failed(message) {
    this.toasts.say("Not done.", [message], true)
  }

  name(id) {
    const row = this.rowOf(id)
    return row ? citizen(row) : "an alert"
  }
}

// The bar below the list, for one or many.
export class Bar {
  constructor(list, work) {
    this.list = list
    this.all = el("input")
    this.all.type = "checkbox"
    this.all.setAttribute("aria-label", "Select all shown")
    this.all.addEventListener("change", () => list.markAll(this.all.checked))
    this.count = el("span", "", "")
    const { nodes, write } = work.buttons(() => list.targets())
    this.writeButtons = write
    this.element = el("footer", "work", el("label", "all", this.all, this.count), ...nodes)
    this.element.setAttribute("role", "toolbar")
    this.element.setAttribute("aria-label", "Work on alerts")
    this.write()
  }

  write() {
    const marked = this.list.marked.size
    this.element.classList.toggle("marked", marked > 0)
    this.all.checked = marked > 0 && marked === this.list.shown.length
    this.all.indeterminate = marked > 0 && !this.all.checked
    this.count.textContent = marked ? `${marked} selected` : "Select all"
    this.writeButtons()
  }
}

export function historyLine(clock, { at, user_name, action, note, details }) {
  const by = user_name === "peacewatch" ? "Peacewatch" : spoken(user_name)
  const tried = action === "refused" ? "was refused" : action
  const more = [details.to && `to ${who(details.to)}`, details.minutes && `for ${duration(details.minutes * 60_000)}`, details.scope === "place" && "around this place"].filter(Boolean).join(" ")
  const why = details.reason ?? details.why
  const line = el("li", "", el("span", "muted", clock.moment(at)), el("span", "", el("strong", "", by), ` ${tried}${more && ` ${more}`}${why ? `: ${why}` : ""}`))
  if (note) line.append(el("p", "said", note))
  return line
}

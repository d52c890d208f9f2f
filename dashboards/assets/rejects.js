// The rejects by kind: how many, some of their lines on demand, and the way back into
// the log. Lines are what drones sent, so they are text and nothing else.

import { el, number, setText } from "./format.js"

export class Rejects {
  constructor(clock, model, send) {
    this.clock = clock
    this.send = send
    this.may = { requeue: model.may_requeue, look: model.may_look }
    this.rows = new Map()
    this.note = el("span", "readout")
    this.note.setAttribute("role", "status")
    this.chosen = this.button("Requeue chosen", () => this.ask([...this.rows].filter(([, row]) => row.check?.checked)))
    this.all = this.button("Requeue all", () => this.ask(null))
    this.body = el("div", "kinds scroll")
    this.empty = el("p", "empty", "Looking …")
    this.dialog = el("dialog", "sheet-dialog")
    const tools = this.may.requeue ? [this.chosen, this.all] : []
    this.element = el("section", "card rejects", el("header", "", el("h2", "", "Rejects"), this.note, ...tools), this.empty, this.body, this.dialog)
  }

  button(text, act, className = "button") {
    const button = el("button", className, text)
    button.addEventListener("click", act)
    return button
  }

  apply({ kinds, kinds_in_all: inAll, waiting }) {
    this.waiting = waiting
    const there = new Set(kinds.map(({ kind }) => kind))
    for (const [kind, row] of this.rows) {
      if (there.has(kind)) continue
      row.element.remove()
      this.rows.delete(kind)
    }
    kinds.forEach(({ kind, lines }, at) => {
      const row = this.rows.get(kind) ?? this.row(kind)
      row.lines = lines
      setText(row.count, number(lines, 0))
      if (this.body.children[at] !== row.element) this.body.insertBefore(row.element, this.body.children[at] ?? null)
    })
    setText(this.empty, "Nothing: every line could be read, or was requeued.")
    this.empty.hidden = kinds.length > 0
    if (inAll > kinds.length) setText(this.note, `the ${kinds.length} most frequent of ${number(inAll, 0)} kinds`)
    this.enable()
  }

  row(kind) {
    const row = { count: el("span", "lines"), raw: el("ol", "raw") }
    row.raw.hidden = true
    const name = el("label", "kind")
    if (this.may.requeue) {
      row.check = el("input")
      row.check.type = "checkbox"
      row.check.addEventListener("change", () => this.enable())
      name.append(row.check)
    }
    name.append(el("span", "", kind))
    if (this.may.look) {
      row.open = this.button("Show lines", () => this.toggle(kind), "button small")
      row.open.setAttribute("aria-expanded", "false")
    }
    row.element = el("div", "reject", el("div", "line", name, row.count, row.open), row.raw)
    this.rows.set(kind, row)
    return row
  }

  toggle(kind) {
    const row = this.rows.get(kind)
    if (row.raw.hidden) return this.send({ show: kind })
    row.raw.hidden = true
    this.expanded(row)
  }

  expanded(row) {
    row.open.setAttribute("aria-expanded", String(!row.raw.hidden))
    setText(row.open, row.raw.hidden ? "Show lines" : "Hide lines")
  }

  show(kind, lines) {
    const row = this.rows.get(kind)
    if (!row) return
    row.raw.replaceChildren(...lines.map((line) => el("li", "", el("code", "", line.raw || "(an empty line)"), el("span", "muted", this.clock.moment(line.at) + (line.reason === kind ? "" : ` · ${line.reason}`)))))
    row.raw.hidden = false
    this.expanded(row)
  }

  enable() {
    this.chosen.disabled = ![...this.rows.values()].some((row) => row.check?.checked)
    this.all.disabled = !this.waiting
  }

  ask(chosen) {
    const lines = chosen ? chosen.reduce((sum, [, row]) => sum + row.lines, 0) : this.waiting
    const go = this.button("Requeue", () => {
      this.dialog.close()
      setText(this.note, "Requeueing …")
      this.send({ requeue: chosen && chosen.map(([kind]) => kind) })
    }, "button primary")
    this.dialog.replaceChildren(
      el("h2", "", `Requeue ${number(lines, 0)} ${lines === 1 ? "line" : "lines"}?`),
      el("p", "", "They go into the log again as they came, and are read in the dialect that the settings name now. What is still wrong is rejected again. If a dialect's file was changed, restart the pipeline first."),
      el("div", "actions", this.button("Cancel", () => this.dialog.close()), go),
    )
    this.dialog.showModal()
  }

  done(lines) {
    setText(this.note, lines ? `${number(lines, 0)} ${lines === 1 ? "line" : "lines"} requeued` : "nothing was left to requeue")
    for (const row of this.rows.values()) if (row.check) row.check.checked = false
    this.enable()
  }

  failed(why) {
    setText(this.note, why)
  }
}

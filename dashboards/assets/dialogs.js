// The dialogs of those actions that need to be told more.

import { capital, citizen, el } from "./format.js"
import { who } from "./state.js"

const REASONS = ["helped", "false alarm", "wrong person", "duplicate"]
const MINUTES = { 15: "15 minutes", 60: "1 hour", 240: "4 hours", 720: "12 hours" }
const LONGEST_NOTE = 2000

export class Dialogs {
  // `people` are the names of those who may be given work.
  constructor() {
    this.element = el("dialog", "sheet-dialog")
    this.people = []
    this.done = null
    this.element.addEventListener("close", () => { this.done = null })
  }

  get open() {
    return this.element.open
  }

  ask(kind, rows, done) {
    const about = rows.length === 1 ? citizen(rows[0]) : `${rows.length} alerts`
    const [title, verb, ...fields] = this[kind](about)
    const cancel = el("button", "button", "Cancel")
    cancel.type = "button"
    cancel.addEventListener("click", () => this.element.close())
    const form = el("form", "ask", el("h2", "", title), ...fields, el("div", "actions", cancel, el("button", "button primary", verb)))
    form.addEventListener("submit", (event) => {
      event.preventDefault()
      const said = Object.fromEntries(new FormData(form))
      this.done(said)
      this.element.close()
    })
    // Ctrl+Enter sends, as Enter in a note makes a line.
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit()
    })
    this.element.setAttribute("aria-label", title)
    this.element.replaceChildren(form)
    this.done = done
    this.element.showModal()
    form.querySelector("input:checked, select, textarea").focus()
  }

  assign(about) {
    const select = el("select", "field", ...this.people.map((name) => {
      const option = el("option", "", who(name) === "you" ? "Me" : who(name))
      option.value = name
      return option
    }))
    select.name = "to"
    return [`Assign ${about}`, "Assign", labelled("To", select), note("Note, if one helps")]
  }

  comment(about) {
    return [`Comment on ${about}`, "Comment", note("Comment", true)]
  }

  resolve(about) {
    return [`Resolve ${about}`, "Resolve", radios("Reason", "reason", Object.fromEntries(REASONS.map((reason) => [reason, reason])), REASONS[0]), note("Note, if one helps")]
  }

  silence(about) {
    return [`Silence ${about}`, "Silence", radios("For", "minutes", MINUTES, "60"),
      radios("What", "scope", { citizen: "this person", place: "everybody around this place" }, "citizen"),
      el("p", "muted", "It ends by itself when the score gets worse or somebody new is involved."), note("Note, if one helps")]
  }
}

function labelled(text, field) {
  return el("label", "labelled", text, field)
}

function note(text, required = false) {
  const field = el("textarea", "field")
  field.name = "note"
  field.rows = 3
  field.maxLength = LONGEST_NOTE
  field.required = required
  return labelled(text, field)
}

function radios(legend, name, options, chosen) {
  return el("fieldset", "radios", el("legend", "", legend), ...Object.entries(options).map(([value, text]) => {
    const input = el("input")
    Object.assign(input, { type: "radio", name, value, checked: value === chosen })
    return el("label", "", input, capital(text))
  }))
}

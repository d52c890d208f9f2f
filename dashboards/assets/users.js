// The people who may sign in: a table, and one dialog for whatever is asked before a change.

const REFRESH_MS = 15_000

export function render({ model }) {
  const root = document.createElement("div")
  root.className = "pw admin"
  use(model, "format").then((format) => start(model, root, format))
  return root
}

function start(model, root, { Clock, el, icon, capital, setText }) {
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const clock = new Clock(model.timezone)
  const count = el("span", "muted")
  const add = el("button", "button primary", "Add a person")
  const outcome = el("p", "outcome")
  outcome.setAttribute("role", "status")
  const body = el("tbody")
  const columns = ["Name", "Role", "State", "Last at work", ""]
  const table = el("table", "table stack", el("thead", "", el("tr", "", ...columns.map((name) => el("th", "", name)))), body)
  const dialog = el("dialog", "sheet-dialog")
  root.append(el("main", "", el("section", "card", el("header", "", el("h2", "", "People"), count, el("span", "spring"), add), outcome, el("div", "scroll", table))), dialog)

  const told = ({ ok, text, name, password }) => {
    outcome.className = ok ? "outcome good" : "outcome bad"
    outcome.replaceChildren(icon(ok ? "recovered" : "warning"), el("span", "", text))
    if (password) ask(`The password of ${name}`, [
      el("p", "", "It is shown this once. Hand it over in person."), el("output", "secret", password),
    ], "Done", null)
  }

  // A dialog with a form; without `act` there is nothing to cancel.
  function ask(title, content, verb, act) {
    const form = el("form", "")
    form.method = "dialog"
    const buttons = el("div", "actions")
    if (act) {
      const cancel = el("button", "button", "Cancel")
      cancel.type = "button"
      cancel.addEventListener("click", () => dialog.close())
      buttons.append(cancel)
    }
    buttons.append(el("button", "button primary", verb))
    form.append(el("h2", "", title), ...content, buttons)
    form.addEventListener("submit", () => act?.(form))
    dialog.replaceChildren(form)
    dialog.setAttribute("aria-label", title)
    if (!dialog.open) dialog.showModal()
  }

  const change = (what, name, more = {}) => {
    outcome.className = "outcome"
    outcome.replaceChildren("Working …")
    send({ change: what, name, ...more })
  }

  function roles(chosen) {
    const select = el("select", "field", ...model.roles.map((role) => {
      const option = el("option", "", capital(role))
      option.value = role
      option.selected = role === chosen
      return option
    }))
    select.name = "role"
    return select
  }

  function labelled(text, field, attributes = {}) {
    for (const [name, value] of Object.entries(attributes)) field.setAttribute(name, value)
    return el("label", "labelled", text, field)
  }

  add.addEventListener("click", () => {
    const name = labelled("Name to sign in with", el("input", "field"), {
      name: "name", required: "", maxlength: 256, pattern: "[A-Za-z0-9][\\x21-\\x7e]*", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
      title: "A letter or digit, then letters, digits and signs, without blanks or accents",
    })
    const shown = labelled("Name that pages show", el("input", "field"), { name: "display_name", maxlength: 100, autocomplete: "off" })
    ask("Add a person", [name, shown, labelled("Role", roles("officer")), el("p", "muted", "A password is made, and shown once.")], "Add", (form) => {
      const said = new FormData(form)
      change("add", said.get("name"), { display_name: said.get("display_name"), role: said.get("role") })
    })
  })

  function button(text, label, click) {
    const made = el("button", "button", text)
    made.setAttribute("aria-label", `${text}: ${label}`)
    made.addEventListener("click", click)
    return made
  }

  function row(user) {
    const { name } = user
    const mine = name === model.me
    const state = user.disabled ? ["critical", "Disabled", "close"] : user.locked ? ["high", "Locked", "warning"]
      : user.sessions ? ["good", user.sessions > 1 ? `Signed in, ${user.sessions} times` : "Signed in", "running"] : ["muted", "Away", "person"]
    const actions = el("div", "actions")
    if (mine) actions.append(el("span", "muted", "You"))
    else {
      actions.append(button("Role", name, () => ask(`The role of ${name}`, [labelled("Role", roles(user.role)), el("p", "muted", "Their open pages end; they sign in again.")], "Change",
        (form) => change("role", name, { role: new FormData(form).get("role") }))))
      actions.append(button("New password", name, () => ask(`A new password for ${name}?`, [el("p", "muted", "Their open pages end; the old password is of no use any more.")], "Make one", () => change("password", name))))
      if (user.locked) actions.append(button("Unlock", name, () => change("unlock", name)))
      if (user.disabled) actions.append(button("Enable", name, () => change("enable", name)))
      else actions.append(button("Disable", name, () => ask(`Disable ${name}?`, [el("p", "muted", "Their open pages end within seconds, and they cannot sign in.")], "Disable", () => change("disable", name))))
    }
    const cells = [
      el("div", "person", el("strong", "", user.display_name), el("span", "muted", name)), capital(user.role),
      el("span", `badge ${state[0]}`, icon(state[2]), state[1]), user.seen_at == null ? "never" : clock.moment(user.seen_at), actions,
    ]
    const line = el("tr", user.disabled ? "off" : "", ...cells.map((cell, at) => {
      const made = el("td", "", cell)
      made.dataset.label = columns[at]
      return made
    }))
    line.dataset.name = name
    return line
  }

  let shown = ""
  model.on("msg:custom", (event) => {
    const message = event.data ?? event
    if (message.users) {
      const fresh = JSON.stringify(message.users)
      if (fresh !== shown) {
        shown = fresh
        const focused = root.getRootNode().activeElement?.getAttribute("aria-label")
        body.replaceChildren(...message.users.map(row))
        if (focused) [...body.querySelectorAll("button")].find((one) => one.getAttribute("aria-label") === focused)?.focus()
      }
      const here = message.users.filter((user) => user.sessions).length
      setText(count, `${message.users.length}, ${here} signed in`)
    }
    if (message.outcome) told(message.outcome)
  })
  document.addEventListener("peacewatch-status", ({ detail }) => clock.set(detail.at * 1000))
  setInterval(() => send({ refresh: true }), REFRESH_MS)
  send({ refresh: true })
}

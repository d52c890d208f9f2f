// The audit: a search, its rows, the state of the chain, and the same rows as a file.

export function render({ model }) {
  const root = document.createElement("div")
  root.className = "pw admin"
  use(model, "format").then((format) => start(model, root, format))
  return root
}

function start(model, root, { Clock, el, icon }) {
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const clock = new Clock(model.timezone)
  const field = (name, label, attributes = {}) => {
    const input = el("input", "field")
    input.name = name
    for (const [key, value] of Object.entries({ autocomplete: "off", maxlength: 200, ...attributes })) input.setAttribute(key, value)
    return el("label", "labelled", label, input)
  }
  const search = el("button", "button primary", "Search")
  const form = el("form", "search", field("text", "Text", { type: "search", placeholder: "in actions, notes, details" }), field("user", "User"),
    field("action", "Action", { placeholder: "such as signed in" }), field("alert", "Alert"), field("since", "From", { type: "datetime-local" }), field("until", "Until", { type: "datetime-local" }), search)
  const chain = el("span", "badge chain")
  chain.setAttribute("role", "status")
  const check = el("button", "button", "Check")
  const save = el("button", "button", "Export")
  const problems = el("p", "outcome bad")
  problems.setAttribute("role", "alert")
  problems.hidden = true
  const body = el("tbody")
  const columns = ["Time", "User", "Action", "Alert", "Why", "Note", "Details"]
  const table = el("table", "table stack", el("thead", "", el("tr", "", ...columns.map((name) => el("th", "", name)))), body)
  const empty = el("p", "empty", "Nothing of that is in the audit.")
  const more = el("button", "button", "Older ones")
  empty.hidden = more.hidden = true
  root.append(el("main", "", el("section", "card", el("header", "", el("h2", "", "Audit"), chain, check, el("span", "spring"), save),
    form, problems, el("div", "scroll", table, empty, el("div", "foot", more)))))

  const asked = () => Object.fromEntries(new FormData(form))
  let last = null
  let parts = []
  const complain = (text) => {
    problems.hidden = !text
    problems.replaceChildren(...(text ? [icon("warning"), el("span", "", text)] : []))
  }
  const look = () => {
    chain.className = "badge chain muted"
    chain.replaceChildren("Checking the chain …")
    send({ check: true })
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault()
    complain("")
    search.disabled = true
    send({ search: asked() })
  })
  more.addEventListener("click", () => send({ before: last }))
  check.addEventListener("click", look)
  save.addEventListener("click", () => {
    parts = []
    save.disabled = true
    send({ export: asked() })
  })

  function row(entry) {
    const cells = [clock.moment(entry.at), entry.user_name, entry.action, entry.alert_id, entry.purpose, entry.note, entry.details]
    return el("tr", "", ...cells.map((cell, at) => {
      const made = el("td", cell ? "" : "none", cell || "–")
      made.dataset.label = columns[at]
      return made
    }))
  }

  model.on("msg:custom", (event) => {
    const message = event.data ?? event
    if (message.rows) {
      search.disabled = false
      const rows = message.rows.map(row)
      if (message.fresh) body.replaceChildren(...rows)
      else body.append(...rows)
      last = message.rows.at(-1)?.number ?? last
      more.hidden = message.rows.length < message.page
      empty.hidden = body.children.length > 0
    }
    if (message.chain) {
      const whole = !message.chain.length
      chain.className = `badge chain ${whole ? "good" : "critical"}`
      chain.replaceChildren(icon(whole ? "recovered" : "critical"), whole ? "Chain whole" : "Chain broken")
      complain(message.chain.slice(0, 5).join("; "))
    }
    if ("part" in message) {
      parts.push(message.part)
      if (message.last) download()
      else send({ more: true })
    }
    if (message.failed) {
      search.disabled = save.disabled = false
      complain(message.failed)
    }
  })

  function download() {
    save.disabled = false
    const link = el("a")
    link.href = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }))
    link.download = "audit.ndjson"
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
    parts = []
  }

  document.addEventListener("peacewatch-status", ({ detail }) => clock.set(detail.at * 1000))
  send({ search: {} })
  look()
}

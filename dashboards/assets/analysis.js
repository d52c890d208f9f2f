// The analysis page: a period is chosen, the server reads, and each card shows a chart
// or the numbers behind it. The charts are the server's; everything around them is made here.

const address = (assets, name) => new URL(`${assets}/${name}.js`, document.baseURI).href
const TABLE = "subjects" // the one card without a chart

// The charts must be in their places when this returns, or they are never drawn; all else is put around them.
export function render({ model }) {
  const root = document.createElement("div")
  root.className = "pw analysis"
  const places = {}
  const grid = document.createElement("div")
  grid.className = "grid"
  for (const name of Object.keys(model.offer.cards)) {
    const [card, canvas] = ["section", "div"].map((tag) => document.createElement(tag))
    card.className = "card"
    card.dataset.card = name
    canvas.className = "canvas"
    if (name !== TABLE) canvas.append(model.get_child(name))
    card.append(canvas)
    grid.append(card)
    places[name] = { card, canvas }
  }
  root.append(grid)
  import(address(model.assets, "format")).then((format) => start(model, { root, grid, places }, format))
  return root
}

function start(model, { root, grid, places }, { Clock, el, icon, choice, setText }) {
  const { offer } = model
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const cards = Object.fromEntries(Object.entries(places).map(([name, place]) => [name, new Card(name, offer, place, send, { el, choice, setText })]))
  const scope = el("p", "scope muted")
  scope.setAttribute("role", "status")
  const failure = el("p", "failure")
  failure.setAttribute("role", "alert")
  failure.hidden = true
  const counters = el("dl", "counters")
  const tools = new Tools(model, { el, choice }, ask)
  const body = el("div", "scroll body", failure, counters, grid)
  const bar = el("div", "progress")
  root.append(tools.element, bar, el("div", "line", scope), body)
  cards.subjects.addNames(offer.names)

  function ask(question, again = false) {
    const url = new URL(location.href)
    url.search = new URLSearchParams(Object.entries({ ...question, measure: tools.measure }).filter(([, value]) => value)).toString()
    history.replaceState(null, "", url)
    send({ ask: question, again })
  }

  function busy(on) {
    root.classList.toggle("busy", on)
    body.setAttribute("aria-busy", String(on))
  }

  model.on("msg:custom", (event) => {
    const message = event.data ?? event
    if (message.reading) {
      const { rows } = message.reading
      busy(true)
      failure.hidden = true
      setText(scope, rows ? `Reading ${rows.toLocaleString("en")} rows of the archive …` : "Looking up the period …")
    }
    if (message.answer) {
      busy(false)
      root.classList.add("answered")
      setText(scope, message.answer.scope)
      tools.setDistricts(message.answer.districts)
      counters.replaceChildren(...message.answer.counters.map(({ name, title, value }) => {
        const shown = el("dd", "value", value)
        shown.dataset.counter = name
        return el("div", "counter", el("dt", "", title), shown)
      }))
      for (const card of Object.values(cards)) card.renew()
      cards.subjects.setPurpose(message.answer.needs_purpose)
    }
    if (message.cards) for (const [name, told] of Object.entries(message.cards)) cards[name].tell(told)
    if (message.failed) {
      busy(false)
      setText(scope, "")
      failure.textContent = message.failed
      failure.hidden = false
    }
    if (message.table) cards[message.table.card].show(message.table)
    if (message.csv) save(message.csv)
    if (message.named) cards.subjects.named()
    if (message.unnamed) cards.subjects.refused(message.unnamed)
  })
  document.addEventListener("peacewatch-theme", ({ detail: theme }) => send({ theme }))
  send({ theme: document.documentElement.dataset.theme, measure: tools.measure })
  ask(tools.question())
}

function save({ name, text }) {
  // The mark in front tells spreadsheets that it is UTF-8.
  const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }))
  const link = document.createElement("a")
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

// What is asked: period, district, severity, and what the first charts show.
class Tools {
  constructor(model, { el, choice }, ask) {
    const { offer } = model
    const asked = offer.asked
    this.el = el
    this.period = asked.period in offer.periods ? asked.period : "24h"
    const changed = () => ask(this.question())
    const periods = choice("Period", offer.periods, (period) => {
      this.period = period
      this.range.hidden = period !== "own"
      if (period !== "own") changed()
    })
    const names = Object.keys(offer.periods)
    for (const [i, button] of [...periods.children].entries()) button.setAttribute("aria-pressed", String(names[i] === this.period))

    const now = Date.now()
    this.from = this.moment("From", asked.from || local(now - 86_400_000, model.timezone))
    this.to = this.moment("To", asked.to || local(now, model.timezone))
    const go = el("button", "button", "Apply")
    this.range = el("form", "range", this.from, el("span", "muted", "to"), this.to, go)
    this.range.hidden = this.period !== "own"
    this.range.addEventListener("submit", (event) => {
      event.preventDefault()
      changed()
    })

    this.district = this.select("District", { "": "All districts", ...(asked.district && { [asked.district]: asked.district }) }, asked.district, changed)
    this.severity = this.select("Severity of alerts", { "": "All severities", ...Object.fromEntries(offer.severities.map((name) => [name, `Alerts: ${name}`])) }, asked.severity, changed)
    const measures = offer.choices.measure
    this.what = this.select("Trend, week and districts show", measures, asked.measure in measures ? asked.measure : "alerts", () => {
      model.send_msg({ token: model.token, measure: this.measure })
    })
    const again = el("button", "button", "Read again")
    again.addEventListener("click", () => ask(this.question(), true))
    const show = el("label", "show", el("span", "muted", "Show"), this.what)
    this.element = el("div", "tools", periods, this.range, this.district, this.severity, show, again)
  }

  question() {
    const own = this.period === "own" ? { from: this.from.value, to: this.to.value } : {}
    return { period: this.period, ...own, district: this.district.value, severity: this.severity.value }
  }

  get measure() {
    return this.what.value
  }

  setDistricts(names) {
    if (this.district.options.length === names.length + 1) return
    const chosen = this.district.value
    this.district.replaceChildren(...["", ...names].map((name) => new Option(name || "All districts", name)))
    this.district.value = chosen
  }

  moment(label, value) {
    const input = this.el("input", "field")
    input.type = "datetime-local"
    input.required = true
    input.setAttribute("aria-label", label)
    input.value = value
    return input
  }

  select(label, options, chosen, changed) {
    const select = this.el("select", "field", ...Object.entries(options).map(([value, text]) => new Option(text, value)))
    select.setAttribute("aria-label", label)
    select.value = chosen || Object.keys(options)[0]
    select.addEventListener("change", changed)
    return select
  }
}

// A moment to the hour, as the inputs write it, in the force's time.
const local = (ms, timeZone) => new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "short" })
  .format(ms - (ms % 3_600_000)).replace(" ", "T")

// A chart, or its numbers.
class Card {
  constructor(name, offer, { card, canvas }, send, { el, choice, setText }) {
    Object.assign(this, { name, card, canvas, send, el, setText, chart: name !== TABLE, empty: "" })
    this.note = el("p", "note muted")
    this.reason = el("p", "empty")
    this.numbers = el("div", "numbers scroll")
    this.numbers.tabIndex = 0
    this.numbers.setAttribute("aria-label", `${offer.cards[name]}, the numbers`)
    this.head = el("header", "", el("h2", "", offer.cards[name]))
    if (name === "responses_by_hour") this.head.append(choice("Clock", offer.choices.clock, (clock) => send({ clock })))
    this.toggle = this.button("Numbers", () => this.turn(!this.open))
    const csv = this.button("CSV", () => send({ csv: name }))
    csv.setAttribute("aria-label", `Download the numbers of ${offer.cards[name]} as CSV`)
    this.toggle.setAttribute("aria-label", `The numbers of ${offer.cards[name]} as a table`)
    this.buttons = el("div", "buttons", this.chart ? this.toggle : null, csv)
    this.head.append(this.buttons)
    card.prepend(this.head)
    card.append(this.numbers, this.reason, this.note)
    card.setAttribute("aria-label", offer.cards[name])
    this.turn(!this.chart)
  }

  button(text, act) {
    const button = this.el("button", "button small", text)
    button.addEventListener("click", act)
    return button
  }

  turn(open) {
    this.open = open
    this.toggle.setAttribute("aria-pressed", String(open))
    if (open && this.chart) this.send({ table: this.name })
    this.arrange()
  }

  // There is a new answer: what is shown of the old one is not true any more.
  renew() {
    this.numbers.replaceChildren()
    if (this.open) this.send({ table: this.name })
  }

  tell({ note, empty }) {
    this.empty = empty
    this.setText(this.note, note)
    this.setText(this.reason, empty)
    this.arrange()
  }

  arrange() {
    const chart = this.chart && !this.open && !this.empty
    // Not display: none, in which a chart would lose its size.
    this.canvas.classList.toggle("away", !chart)
    this.numbers.hidden = !this.open
    this.reason.hidden = !this.empty || (this.open && this.chart)
    this.note.hidden = Boolean(this.empty) || (this.open && this.chart)
  }

  show({ columns, rows, total }) {
    const { el } = this
    const kind = columns.map((column) => (column.number ? "number" : ""))
    const head = el("tr", "", ...columns.map(({ title }, i) => el("th", kind[i], title)))
    const body = rows.map((row) => el("tr", "", ...row.map((text, i) => el("td", kind[i], text))))
    const rest = total > rows.length ? el("p", "muted rest", `${total.toLocaleString("en")} rows in all: the CSV has them.`) : null
    this.numbers.replaceChildren(el("table", "table", el("thead", "", head), el("tbody", "", ...body)), ...(rest ? [rest] : []))
  }

  // Names of the citizens, for those who may see them.
  addNames(offered) {
    if (!offered) return
    const { el } = this
    this.why = el("input", "field")
    this.why.setAttribute("aria-label", "Why you look at these people")
    this.why.placeholder = "Why you look at these people"
    this.why.maxLength = 200
    this.refusal = el("span", "refusal")
    this.refusal.setAttribute("role", "alert")
    this.form = el("form", "purpose", this.why, el("button", "button small", "Show names"), this.refusal)
    this.form.title = "Each person is written to the audit, with your purpose, before the name is shown."
    this.form.addEventListener("submit", (event) => {
      event.preventDefault()
      this.refusal.textContent = ""
      this.send({ names: { purpose: this.why.value } })
    })
    this.head.after(this.form)
  }

  setPurpose(needed) {
    if (!this.form) return
    this.form.hidden = Boolean(this.empty)
    this.why.hidden = !needed
    this.refusal.textContent = ""
  }

  named() {
    this.form.hidden = true
    this.send({ table: this.name })
  }

  refused(why) {
    this.refusal.textContent = why
    this.why.hidden = false
    this.why.focus()
  }
}

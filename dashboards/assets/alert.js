// One alert: first why somebody looks, then who it is, how it came to it, who was near and what was done.

const PURPOSES = ["Answering this alert", "Handing over a shift", "Checking a wrong person"]

// The charts must be in their places when this returns, or they are never drawn; all else is put around them.
export function render({ model }) {
  const make = (tag, className, ...children) => {
    const node = document.createElement(tag)
    node.className = className
    node.append(...children)
    return node
  }
  const card = (name, child) => {
    const canvas = make("div", "canvas")
    if (child) canvas.append(child)
    return make("section", `card ${name}`, canvas)
  }
  const chart = card("chart", model.get_child("chart"))
  const map = card("map", model.get_child("map"))
  const facts = make("div", "facts-of")
  const grid = make("div", "grid", chart, map)
  const body = make("main", "body", facts, grid)
  // Out of sight, yet with a size: a chart that has none is not drawn.
  body.inert = true
  const gate = make("div", "gate")
  const root = make("div", "pw alert locked", body, gate)
  use(model, "format").then((format) => new AlertPage(model, { root, body, facts, grid, chart, map, gate }, format))
  return root
}

class AlertPage {
  constructor(model, place, format) {
    Object.assign(this, { model, place, format })
    this.clock = new format.Clock(model.timezone)
    this.cards = Object.fromEntries(["near", "words", "others", "done"].map((name) => [name, format.el("section", `card ${name}`)]))
    place.grid.append(...Object.values(this.cards))
    model.on("msg:custom", (event) => this.told(event.data ?? event))
    document.addEventListener("peacewatch-status", ({ detail }) => this.clock.set(detail.at * 1000))
    document.addEventListener("peacewatch-theme", ({ detail: theme }) => this.send({ theme }))
    this.wait("Looking for this alert…")
    this.send({ ready: true, theme: document.documentElement.dataset.theme })
  }

  send(message) {
    this.model.send_msg({ token: this.model.token, ...message })
  }

  told(message) {
    if (message.ask) this.ask(message.why)
    if (message.refused) this.wait(message.refused)
    if (message.show) this.show(message.show)
    if (message.changed) this.say("This alert has changed since you opened it.", true)
    if (message.failed) this.say(message.failed)
    if (message.notebook) this.download(message.notebook)
  }

  wait(text) {
    const { el } = this.format
    this.place.gate.replaceChildren(el("div", "card why", el("p", "", text)))
  }

  ask(why) {
    const { el } = this.format
    const field = el("input", "field")
    field.name = "purpose"
    field.maxLength = 200
    field.required = true
    field.minLength = 3
    field.autocomplete = "off"
    const label = el("label", "labelled", "Purpose", field)
    const show = el("button", "button primary", "Show the alert")
    const usual = PURPOSES.map((text) => {
      const button = el("button", "button", text)
      button.type = "button"
      button.addEventListener("click", () => {
        field.value = text
        show.focus()
      })
      return button
    })
    const form = el("form", "card why",
      el("h2", "", "Why do you look at this person?"),
      el("p", "muted", why ?? "Your answer is written to the audit, with your name and the time, before anything is shown."),
      el("div", "usual", ...usual), label, el("div", "actions", show))
    form.addEventListener("submit", (event) => {
      event.preventDefault()
      this.wait("Reading the desk and the archive…")
      this.send({ purpose: field.value })
    })
    this.place.gate.replaceChildren(form)
    field.focus()
  }

  show(said) {
    const { root, body, gate, facts, chart, map } = this.place
    root.classList.remove("locked")
    body.inert = false
    gate.remove()
    facts.replaceChildren(...this.facts(said))
    this.title(chart, "Score before and after", this.legend({ critical: "critical", high: "high" }))
    this.title(map, "Around the alert", this.mapLegend())
    this.fill("near", "Who was near", "within 150 m and 5 min", said.near.map((one) => this.person(one)), "Nobody else was seen.")
    this.fill("words", "Words around", "reports that heard each", [this.words(said.words)], "None were heard.", !said.words.length)
    this.fill("others", "Other alerts", "", said.others.map((one) => this.other(one)), "This citizen has no other alert.")
    this.fill("done", "What was done", "", [...said.done.map((one) => this.deed(one)), this.looks(said.looks)], "")
    document.title = `Alert ${said.alert.alert_id} · Peacewatch`
  }

  facts({ alert, trouble, drone }) {
    const { el, icon, kind, capital, citizen, score, number, place } = this.format
    const state = alert.state === "open" ? capital(alert.severity) : `${capital(alert.severity)}, ${alert.state}`
    const heading = el("div", "who", el("span", `badge ${kind(alert)}`, icon(kind(alert)), state), el("h2", "", citizen(alert)))
    if (alert.citizen_name && alert.citizen_id) heading.append(el("span", "muted id", alert.citizen_id))
    const reload = el("button", "button", "Reload")
    reload.addEventListener("click", () => this.send({ reload: true }))
    const book = el("button", "button", "Open in a notebook")
    book.addEventListener("click", () => this.send({ notebook: true }))
    const action = alert.action || "not said"
    const battery = [drone.battery == null ? null : `${number(drone.battery, 0)} %`, drone.status].filter(Boolean).join(", ")
    const list = el("dl", "",
      ...this.fact("Score", "score", `${score(alert.score)}`, `limit ${number(alert.threshold)}, worst ${score(alert.worst_peacescore)} of 100, ${number(alert.findings)} bad sighting${alert.findings === 1 ? "" : "s"}`),
      ...this.fact("Action", "action", action, alert.words?.length ? alert.words.join(", ") : ""),
      ...this.fact("Seen", "seen", this.clock.moment(alert.time), `${this.clock.age(alert.time)} ago, first ${this.clock.moment(alert.first_time)}`),
      ...this.fact("Where", "where", place(alert), `by ${alert.drone_id ?? "an unknown drone"}${battery ? ` (${battery})` : ""}`),
      ...this.fact("Work", "work", ...this.work(alert)))
    this.notice = el("div", "notice")
    this.notice.setAttribute("role", "status")
    const nodes = [el("header", "", heading, el("div", "buttons", reload, book)), list, this.notice]
    if (trouble) this.say(trouble)
    else this.notice.hidden = true
    return nodes
  }

  fact(name, className, value, aside) {
    const { el } = this.format
    const node = el("div", `fact ${className}`, el("dt", "", name), el("dd", "", value))
    if (aside) node.append(el("dd", "muted", aside))
    return [node]
  }

  work(alert) {
    if (alert.resolved_by) return ["Resolved", `by ${alert.resolved_by}${alert.reason ? `, ${alert.reason}` : ""}`]
    if (alert.assigned_to) return [`Assigned to ${alert.assigned_to}`, alert.acknowledged_at ? `acknowledged ${this.clock.moment(alert.acknowledged_at)}` : ""]
    if (alert.acknowledged_by) return [`Acknowledged by ${alert.acknowledged_by}`, this.clock.moment(alert.acknowledged_at)]
    return ["Nobody has it yet", `raised ${this.clock.moment(alert.raised_at)}`]
  }

  title(card, text, ...asides) {
    const { el } = this.format
    card.querySelector(":scope > header")?.remove()
    card.prepend(el("header", "", el("h2", "", text), ...asides))
    card.setAttribute("aria-label", text)
  }

  fill(name, text, aside, children, otherwise, empty = !children.length) {
    const { el } = this.format
    const count = empty || name === "words" || name === "done" ? "" : ` (${children.length})`
    const content = empty ? el("p", "empty", otherwise) : el("div", "scroll", ...children)
    this.cards[name].replaceChildren(el("header", "", el("h2", "", text + count), el("span", "muted aside-of", aside)), content)
    this.cards[name].setAttribute("aria-label", text)
  }

  legend(kinds) {
    const { el, icon } = this.format
    return el("div", "legend", ...Object.entries(kinds).map(([name, text]) => el("span", name, icon(name), text)))
  }

  mapLegend() {
    const { el } = this.format
    return el("div", "legend", ...[["square", "person"], ["triangle", "drone and its way"]].map(([shape, text]) => el("span", shape, el("i", ""), text)))
  }

  person({ name, also, citizen_id: id, distance_m: away, peacescore, time }) {
    const { el, score } = this.format
    const aside = [id && id !== name ? id : null, also.length ? `also ${also.join(", ")}` : null].filter(Boolean).join(", ")
    return el("div", "line", el("div", "what", el("strong", "", name), el("span", "muted", aside)),
      el("div", "side-of", el("strong", "", `${Math.round(away)} m`), el("span", "muted", `score ${score(peacescore)}, ${this.clock.time(time)}`)))
  }

  words(words) {
    const { el } = this.format
    return el("div", "cloud", ...words.map(([word, count]) => el("span", "chip", word, el("b", "", String(count)))))
  }

  other(alert) {
    const { el, icon, kind, score, capital } = this.format
    const link = el("a", "line", el("div", "what", el("span", `badge ${kind(alert)}`, icon(kind(alert)), `${capital(alert.severity)}, ${alert.state}`), el("span", "muted", alert.action || "action not said")),
      el("div", "side-of", el("strong", "", `worst ${score(alert.worst_peacescore)}`), el("span", "muted", this.clock.moment(alert.first_time))))
    link.href = `alert?id=${encodeURIComponent(alert.alert_id)}`
    return link
  }

  deed({ at, who, what, note, details }) {
    const { el } = this.format
    const told = Object.entries(details).map(([name, value]) => `${name}: ${value}`).join(", ")
    return el("div", "line", el("div", "what", el("strong", "", what), el("span", "muted", told), note ? el("q", "", note) : null),
      el("div", "side-of", el("strong", "", who), el("span", "muted", this.clock.moment(at))))
  }

  looks({ count, people, who, at }) {
    const times = count === 1 ? "once" : `${count} times`
    return this.format.el("p", "line muted looks", `Looked at ${times} by ${people === 1 ? who : `${people} people, last by ${who}`}, ${this.clock.moment(at)}`)
  }

  say(text, reload = false) {
    const { el, icon } = this.format
    this.notice.hidden = false
    this.notice.replaceChildren(icon("warning"), el("span", "", text))
    if (!reload) return
    const button = el("button", "button", "Reload")
    button.addEventListener("click", () => this.send({ reload: true }))
    this.notice.append(button)
  }

  download({ name, content }) {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob([content], { type: "application/x-ipynb+json" }))
    link.download = name
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
    this.say(`${name} was downloaded, and is kept in the workspace's folder notebooks. Open it with: peacewatch lab`)
  }
}

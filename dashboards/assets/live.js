// Puts the live page together and carries messages between its parts and the server.

const PARTS = ["format", "list", "filters", "detail", "counters", "state", "work", "dialogs", "toasts", "alarm", "keys", "feed"]

// The map must be in its place when this returns, or it is never drawn; all else is put around it.
export function render({ model }) {
  const [root, main, side, frame, canvas] = ["div", "main", "div", "section", "div"].map((tag) => document.createElement(tag))
  root.className = "pw live"
  side.className = "side"
  frame.className = "map card"
  frame.ariaLabel = "Map of the alerts"
  canvas.className = "canvas"
  canvas.append(model.get_child("map"))
  frame.append(canvas)
  side.append(frame)
  main.append(side)
  root.append(main)
  use(model, ...PARTS).then((parts) => start(model, { root, main, side, canvas }, parts))
  return root
}

function start(model, place, { Clock, el, icon, AlertList, Filters, Detail, Counters, Work, Bar, Dialogs, Toasts, Alarm, know, hasStranger, listen, help, follow }) {
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const clock = new Clock(model.timezone)
  let told = null
  let opened = false
  const toasts = new Toasts()
  const dialogs = new Dialogs()
  const helpDialog = help()
  const alarm = new Alarm(clock, (id) => list.select(id, true))
  const work = new Work(clock, send, dialogs, toasts, (id) => list.row(id), (ids) => {
    ids.forEach((id) => list.marked.delete(id))
    list.draw()
    bar.write()
  })
  const list = new AlertList(clock, model.limits, model.capacity, new Filters(model.districts), {
    marks: () => bar.write(),
    arrive: (rows) => opened && alarm.arrive(rows),
    select: (row) => {
      detail.show(row)
      bar.write()
      if ((row?.alert_id ?? null) !== told) {
        told = row?.alert_id ?? null
        send({ select: told })
      }
    },
  })
  const bar = new Bar(list, work)
  const detail = new Detail(clock, model.limits, work, (id) => send({ history: id }), () => list.select(null))
  const counters = new Counters()

  model.on("msg:custom", (event) => {
    const message = event.data ?? event
    if (message.people) {
      know(message.people.names, message.people.me)
      Object.assign(work, { may: message.people.may_assign, me: message.people.me })
      dialogs.people = message.people.workers
      list.refill()
    }
    if (message.outcome) work.answer(message.outcome)
    if (message.failed) work.failed(message.failed)
    if (message.overtook) work.overtook(message.overtook)
    if (message.history) detail.showHistory(message.history)
    if ("select" in message) {
      told = message.select
      list.select(message.select, true)
    }
  })
  document.addEventListener("peacewatch-status", ({ detail: status }) => {
    clock.set(status.at * 1000)
    counters.apply(status)
    list.setTotal(status.counts.open + status.counts.recovered)
  })
  follow(model.token, ({ alerts, whole }) => {
    if (!alerts) return
    list.apply(alerts, opened)
    if (opened && alerts.some(hasStranger)) send({ people: true })
    opened ||= whole
  }, true)

  const act = (kind) => () => work.act(kind, list.targets())
  const down = () => list.move(1)
  const up = () => list.move(-1)
  listen({
    j: down, ArrowDown: down, k: up, ArrowUp: up, Home: () => list.move(-Infinity), End: () => list.move(Infinity),
    a: act("acknowledge"), s: act("assign"), c: act("comment"), r: act("resolve"), m: act("silence"),
    x: () => list.selected && list.mark(list.selected), "/": () => list.filters.search.focus(), "?": () => helpDialog.showModal(),
    Escape: () => (list.marked.size ? list.markAll(false) : list.select(null)),
  }, () => dialogs.open || helpDialog.open)

  const keys = el("button", "quiet", icon("keys"))
  keys.setAttribute("aria-label", "Keys")
  keys.title = "Keys: ?"
  keys.addEventListener("click", () => helpDialog.showModal())
  list.tools.append(alarm.button, keys)
  list.element.append(bar.element)

  const legend = el("div", "legend", ...["critical", "high", "recovered"].map((name) => el("span", name, icon(name), name[0].toUpperCase() + name.slice(1))))
  place.canvas.append(legend)
  place.main.prepend(list.element)
  place.side.append(detail.element)
  place.root.prepend(counters.element)
  place.root.append(toasts.element, dialogs.element, helpDialog)
  send({ ready: true })
}

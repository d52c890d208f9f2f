// Puts the page of the past together: one clock, and what there was at its time.

const PARTS = ["format", "list", "filters", "state", "replay_player", "replay_line", "replay_detail"]
const LENGTHS = { 15: "15 minutes", 60: "1 hour", 180: "3 hours", 360: "6 hours", 720: "12 hours", 1440: "24 hours" }
const TYPING = "input, select, textarea, [contenteditable]"
const TICK_MS = 250
const LINK_AFTER_MS = 400 // browsers take offence at an address that changes all the time
const MINUTE = 60_000

// The map must be in its place when this returns, or it is never drawn; all else is put around it.
export function render({ model }) {
  const [root, main, frame, canvas] = ["div", "main", "section", "div"].map((tag) => document.createElement(tag))
  root.className = "pw live replay"
  frame.className = "map card"
  canvas.className = "canvas"
  canvas.append(model.get_child("map"))
  frame.append(canvas)
  main.append(frame)
  root.append(main)
  use(model, ...PARTS).then((parts) => start(model, { root, main, frame }, parts))
  return root
}

function start(model, place, { el, icon, setText, number, AlertList, Filters, PastClock, Player, Line, PastDetail, know }) {
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const clock = new PastClock(model.timezone)
  let told = null
  let window_ = null
  let ticked = 0
  let linking = null

  // The live page's list, with whatever stood at the instant: alerts come, change, and are taken away again.
  class PastList extends AlertList {
    show(rows, gone) {
      for (const id of gone) {
        if (this.selected === id) this.select(null)
        this.forget(id)
      }
      if (gone.length) this.refill()
      if (rows.length) this.apply(rows, false)
    }

    // Nothing is done to several at once here.
    mark(id) {
      this.select(id)
    }

    writeNotes() {
      super.writeNotes()
      if (!this.items.size) setText(this.empty, window_ ? "No alert stood at this moment." : "")
    }
  }

  const list = new PastList(clock, model.limits, model.capacity, new Filters(model.districts), {
    marks: () => {},
    arrive: () => {},
    select: (row) => {
      detail.show(row)
      if ((row?.alert_id ?? null) === told) return
      told = row?.alert_id ?? null
      send({ select: told })
    },
  })
  const player = new Player(clock, {
    ask: (at) => send({ at }),
    move: (at) => {
      line.move(at)
      if (Math.abs(performance.now() - ticked) < TICK_MS) return
      ticked = performance.now()
      list.tick()
      detail.tick()
    },
    speed: (speed) => send({ speed }),
    rest: (at) => {
      list.tick()
      detail.tick()
      clearTimeout(linking)
      linking = setTimeout(() => window_ && history.replaceState(null, "", link(at)), LINK_AFTER_MS)
    },
  })
  const line = new Line(clock, (ms) => player.seek(ms))
  const detail = new PastDetail(clock, model.limits, model.named, (ms) => player.seek(ms), () => list.select(null))
  const picker = windows()
  const note = el("p", "notice")
  note.setAttribute("role", "status")
  note.hidden = true

  const iso = (ms) => new Date(Math.round(ms)).toISOString().replace(".000Z", "Z")
  const link = (at) => {
    const url = new URL(location.href)
    url.search = new URLSearchParams({ from: iso(window_.begin), to: iso(window_.end), at: iso(Math.floor(at / 1000) * 1000) })
    return url
  }

  model.on("msg:custom", (event) => {
    const message = event.data ?? event
    if (message.window) open(message.window, message.gone)
    if (message.frame) {
      list.show(message.frame.rows, message.frame.gone)
      detail.tick()
      place.root.dataset.shown = Math.round(message.frame.at)
      player.answered(message.frame.at)
    }
    if ("ready" in message) player.may(message.at, message.ready)
    if (message.about) detail.showTurns(message.about)
    if (message.failed) {
      player.pause()
      player.pending = false
      picker.busy(false)
      say(message.failed)
    }
    if ("select" in message) {
      told = message.select
      send({ select: told })
      list.select(told, true)
    }
  })

  function open(said, gone) {
    list.show([], gone)
    picker.busy(false)
    window_ = said.begin == null ? null : said
    place.root.dataset.window = window_ ? `${window_.begin}-${window_.end}` : "none"
    if (!window_) return say("The archive has no reports yet: there is nothing to replay.")
    if (said.people?.names) know(said.people.names, said.people.me)
    line.open(said)
    picker.show(said)
    player.open(said)
    if (said.empty) {
      say("Nothing was reported in this window, and no alert was opened.", said.nearest)
    } else say([said.trouble, said.most && `There were more alerts than can be shown: these are the last ${number(said.most)}. A shorter window has them all.`,
      !said.followed && "So much was seen in this window that scores are not followed: they are those that were last."].filter(Boolean).join(" "))
  }

  // A notice; with a time, where there is something to see.
  function say(text, near) {
    note.hidden = !text
    note.replaceChildren(icon("warning"), el("span", "", text))
    if (near == null) return
    const go = el("button", "button", `Go to ${clock.dates.format(near)}, ${clock.minutes.format(near)}`)
    go.addEventListener("click", () => picker.go(Math.floor(near / (60 * MINUTE)) * 60 * MINUTE, 60))
    note.append(go)
  }

  function windows() {
    const day = el("input", "field")
    const time = el("input", "field")
    Object.assign(day, { type: "date", required: true })
    Object.assign(time, { type: "time", required: true })
    const length = el("select", "field", ...Object.entries(LENGTHS).map(([value, text]) => Object.assign(el("option", "", text), { value })))
    for (const [input, label] of [[day, "Day"], [time, "From"], [length, "Length"]]) input.setAttribute("aria-label", label)
    const show = el("button", "button", "Show")
    const form = el("form", "pick", day, time, length, show)
    const button = (text, label, act) => {
      const made = el("button", "button", text)
      made.type = "button"
      made.title = label
      if (text.length < 2) made.setAttribute("aria-label", label)
      made.addEventListener("click", act)
      return made
    }
    // The fields keep the focus: they are not disabled, but nothing is asked for meanwhile.
    const busy = (on) => {
      form.classList.toggle("busy", on)
      form.setAttribute("aria-busy", String(on))
    }
    const ask = (message) => {
      if (form.classList.contains("busy")) return
      busy(true)
      player.pause()
      send(message)
    }
    const go = (begin, minutes) => ask({ open: { from: new Date(begin).toISOString(), minutes } })
    const minutes = () => Math.round((window_.end - window_.begin) / MINUTE)
    form.append(el("span", "nav",
      button("‹", "The window before", () => window_ && go(window_.begin - (window_.end - window_.begin), minutes())),
      button("›", "The window after", () => window_ && go(window_.end, minutes())),
      button("Latest hour", "The last hour that has data", () => ask({ newest: true }))))
    form.addEventListener("submit", (event) => {
      event.preventDefault()
      ask({ open: { from: `${day.value}T${time.value}`, minutes: Number(length.value) } })
    })
    return {
      form, go, busy,
      // What somebody is about to choose stays.
      show({ begin, end }) {
        if (form.querySelector("input:focus, select:focus")) return
        ;[day.value, time.value] = clock.inputs(begin)
        const wanted = String(Math.round((end - begin) / MINUTE))
        if (![...length.options].some((option) => option.value === wanted)) length.append(Object.assign(el("option", "", `${wanted} minutes`), { value: wanted }))
        length.value = wanted
      },
    }
  }

  const act = { ArrowLeft: () => player.step(-MINUTE), ArrowRight: () => player.step(MINUTE), Home: () => player.seek(player.begin), End: () => player.seek(player.end),
    " ": () => player.toggle(), k: () => list.move(-1), j: () => list.move(1), ArrowUp: () => list.move(-1), ArrowDown: () => list.move(1),
    "+": () => player.faster(1), "-": () => player.faster(-1), "/": () => list.filters.search.focus(), Escape: () => list.select(null) }
  document.addEventListener("keydown", (event) => {
    const on = event.composedPath()[0]
    if (event.ctrlKey || event.metaKey || event.altKey || on.matches?.(TYPING) || event.defaultPrevented) return
    // The space bar belongs to the button that has the focus.
    if (!act[event.key] || (event.key === " " && on.matches?.("button, a, summary"))) return
    event.preventDefault()
    if (event.shiftKey && event.key.startsWith("Arrow") && event.key !== "ArrowUp" && event.key !== "ArrowDown") player.step(event.key === "ArrowLeft" ? -10 * MINUTE : 10 * MINUTE)
    else act[event.key]()
  })

  const legend = el("div", "legend", ...["critical", "high", "recovered"].map((name) => el("span", name, icon(name), name[0].toUpperCase() + name.slice(1))))
  place.root.classList.toggle("nameless", !model.named)
  place.frame.setAttribute("aria-label", "Map of that moment")
  place.frame.prepend(el("header", "", el("h2", "", "Map"), legend))
  place.main.prepend(el("div", "left", list.element, detail.element))
  place.root.prepend(el("section", "deck", el("div", "row-of", player.element, picker.form), note, line.element, el("div", "foot", line.readout,
    el("span", "muted keys-said", "space plays · ← → one minute, with shift ten · + − speed · j k alerts"))))
  send({ ready: true, speed: player.speed })
}

// The clock of the past, and what moves it: play, pause, speed, steps and keys.
// It runs here, frame by frame, and never beyond what the server has at hand.

import { Clock, choice, el, setText } from "./format.js"

const MINUTE = 60_000
const SPEEDS = [1, 10, 60, 300, 1800]
const USUAL = 60
const ASK_EVERY_MS = 200
const SHAPES = {
  play: "M4 2.2v11.6L13.6 8Z",
  pause: "M3.6 2.4h3v11.2h-3Zm5.8 0h3v11.2h-3Z",
}

function shape(name) {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag))
  svg.setAttribute("viewBox", "0 0 16 16")
  svg.setAttribute("class", "icon")
  svg.setAttribute("aria-hidden", "true")
  path.setAttribute("d", SHAPES[name])
  svg.append(path)
  return svg
}

// The page's clock, as the list and all else want one: "now" is the instant that is shown.
export class PastClock extends Clock {
  constructor(timeZone) {
    super(timeZone)
    this.at = 0
    this.dates = new Intl.DateTimeFormat("en-GB", { timeZone, weekday: "short", day: "numeric", month: "long", year: "numeric" })
    this.local = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "short" })
    this.minutes = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit" })
  }

  now() {
    return this.at
  }

  // As an input wants it: day and time in the force's zone.
  inputs(ms) {
    return this.local.format(ms).split(" ")
  }

  // How far the zone is from UTC, for marks at its full hours.
  offset(ms) {
    const minute = Math.floor(ms / MINUTE) * MINUTE
    return Date.parse(`${this.local.format(minute).replace(" ", "T")}Z`) - minute
  }
}

export class Player {
  // `on` has what to call: `ask(ms)` for the server, `move(ms)` at every change, `speed(n)`, `rest(ms)` when it stands.
  constructor(clock, on) {
    Object.assign(this, { clock, on, begin: 0, end: 0, ready: 0, speed: USUAL, playing: false, waiting: false, pending: false, asked: null, askedAt: 0, due: null })
    const button = (name, label, keys, act, ...inner) => {
      const made = el("button", `button ${name}`, ...inner)
      made.setAttribute("aria-label", label)
      made.title = keys ? `${label}: ${keys}` : label
      if (keys) made.setAttribute("aria-keyshortcuts", keys)
      made.addEventListener("click", act)
      return made
    }
    this.back = button("step", "Back one minute", "ArrowLeft", () => this.step(-MINUTE), "−1", el("span", "unit", " min"))
    this.play = button("primary play", "Play", "Space", () => this.toggle(), shape("play"), el("span", "", "Play"))
    this.forth = button("step", "On one minute", "ArrowRight", () => this.step(MINUTE), "+1", el("span", "unit", " min"))
    this.speeds = choice("Speed", Object.fromEntries(SPEEDS.map((one) => [one, `${one}×`])), (one) => this.setSpeed(Number(one)))
    this.speeds.children[SPEEDS.indexOf(USUAL)].click()
    this.time = el("time", "time", "–")
    this.date = el("span", "date")
    this.wait = el("span", "wait", "reading …")
    this.wait.hidden = true
    this.element = el("div", "player",
      el("div", "now", this.time, el("div", "day", this.date, this.wait)),
      el("div", "buttons", this.back, this.play, this.forth), this.speeds)
  }

  get at() {
    return this.clock.at
  }

  // Begin with a window; `ready` says until when there is something to show.
  open({ begin, end, at }) {
    Object.assign(this, { begin, end, ready: at })
    this.pause()
    this.set(at)
  }

  toggle() {
    if (this.playing) this.pause()
    else this.run()
  }

  run() {
    if (this.end <= this.begin) return
    if (this.at >= this.end) this.seek(this.begin)
    this.playing = true
    this.last = performance.now()
    this.writePlay()
    requestAnimationFrame((now) => this.frame(now))
  }

  pause() {
    const played = this.playing
    this.playing = this.waiting = false
    this.writePlay()
    if (played) this.rest()
  }

  frame(now) {
    if (!this.playing) return
    const past = Math.min(now - this.last, 250) * this.speed // a tab that slept does not jump
    this.last = now
    const to = Math.min(this.at + Math.max(0, past), this.end)
    this.waiting = to > this.ready
    this.wait.hidden = !this.waiting
    this.set(Math.max(this.at, Math.min(to, this.ready)))
    if (this.waiting) this.ask(true)
    if (this.at >= this.end) this.pause()
    else requestAnimationFrame((next) => this.frame(next))
  }

  seek(ms) {
    if (this.end <= this.begin) return
    const to = Math.max(this.begin, Math.min(ms, this.end))
    // Whether it may go on from there is for the server to say.
    this.ready = to
    this.set(to)
    if (!this.playing) this.rest()
  }

  step(by) {
    this.seek(this.at + by)
  }

  setSpeed(speed) {
    this.speed = speed
    this.on.speed(speed)
  }

  faster(by) {
    const at = SPEEDS.indexOf(this.speed) + by
    this.speeds.children[Math.max(0, Math.min(at, SPEEDS.length - 1))].click()
  }

  set(ms) {
    this.clock.at = ms
    setText(this.time, this.clock.time(ms))
    setText(this.date, `${this.clock.dates.format(ms)}, ${this.clock.zone(ms)}`)
    this.on.move(ms)
    this.ask()
  }

  // One question at a time, and the newest instant in it.
  ask(again = false) {
    if (this.due || this.pending || (!again && this.asked === this.at)) return
    this.due = setTimeout(() => {
      this.due = null
      this.asked = this.at
      this.askedAt = performance.now()
      this.pending = true
      this.on.ask(this.at)
    }, Math.max(0, this.askedAt + ASK_EVERY_MS - performance.now()))
  }

  // The server has shown an instant, or said that from one it may go on until `ready`.
  answered(at) {
    this.pending = false
    if (at !== this.at) this.ask()
  }

  may(at, ready) {
    // What was said of another time comes too late; the server knows no parts of a microsecond.
    if (this.at > at - 1 && this.at <= ready) this.ready = ready
  }

  rest() {
    this.wait.hidden = true
    this.on.rest(this.at)
  }

  writePlay() {
    const name = this.playing ? "Pause" : "Play"
    if (this.play.lastChild.textContent === name && this.play.dataset.name) return
    this.play.dataset.name = name
    this.play.setAttribute("aria-label", name)
    this.play.title = `${name}: Space`
    this.play.replaceChildren(shape(name.toLowerCase()), el("span", "", name))
  }
}

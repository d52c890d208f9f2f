// Sound and notifications for new alerts, for those who ask for it. A lock screen
// may show a notification, so it names nobody.

import { capital, el, icon, score } from "./format.js"

const QUIET_MS = 1_500

export class Alarm {
  constructor(clock, onOpen) {
    this.clock = clock
    this.onOpen = onOpen
    this.audio = null
    this.last = 0
    this.button = el("button", "quiet alarm", icon("silenced"))
    this.button.addEventListener("click", () => this.toggle())
    this.write(false)
  }

  // Browsers let a page sound, and ask for notifications, only after a click.
  toggle() {
    const on = this.button.getAttribute("aria-pressed") !== "true"
    this.write(on)
    if (!on) return
    this.audio ??= new AudioContext()
    this.audio.resume()
    this.beep(0.15, 0)
    if ("Notification" in window && Notification.permission === "default") Notification.requestPermission()
  }

  write(on) {
    this.button.setAttribute("aria-pressed", String(on))
    this.button.setAttribute("aria-label", "Sound and notification for new alerts")
    this.button.title = on ? "Sound and notifications are on" : "Sound and notifications are off"
    this.button.replaceChildren(icon(on ? "bell" : "silenced"))
  }

  arrive(rows) {
    if (this.button.getAttribute("aria-pressed") !== "true" || Date.now() - this.last < QUIET_MS) return
    this.last = Date.now()
    const critical = rows.filter((row) => row.severity === "critical")
    this.beep(critical.length ? 0.4 : 0.15, 0)
    if (critical.length) this.beep(0.4, 0.3)
    this.notify(rows, critical)
  }

  beep(volume, delay) {
    const start = this.audio.currentTime + delay
    const tone = this.audio.createOscillator()
    const gain = this.audio.createGain()
    tone.frequency.value = volume > 0.3 ? 880 : 660
    gain.gain.setValueAtTime(volume, start)
    gain.gain.exponentialRampToValueAtTime(0.001, start + 0.22)
    tone.connect(gain).connect(this.audio.destination)
    tone.start(start)
    tone.stop(start + 0.25)
  }

  notify(rows, critical) {
    if (!("Notification" in window) || Notification.permission !== "granted") return
    const row = critical[0] ?? rows[0]
    const title = rows.length > 1 ? `${rows.length} new alerts, ${critical.length} critical` : `${capital(row.severity)} alert`
    const where = row.district == null ? "" : `District ${row.district}, `
    const shown = new Notification(title, { body: `${where}score ${score(row.score)}, ${this.clock.time(row.raised_at)}`, tag: "peacewatch" })
    shown.addEventListener("click", () => {
      window.focus()
      this.onOpen(row.alert_id)
    })
  }
}

// The header, the counters, and a plain word when what is shown is not up to date.

import { compact, dataRate, el, icon, number, setText } from "./format.js"

const LOST_AFTER_MS = 4000
const WORDS = { running: "running", stopped: "stopped", silent: "not answering", missing: "not started" }

export class StatusBar {
  constructor(clock, force, probe, onTheme) {
    this.clock = clock
    this.probe = probe
    this.heard = Date.now()
    this.status = null
    this.retry = 0
    this.pipeline = el("span", "pipeline")
    this.pipeline.setAttribute("role", "status")
    this.time = el("span", "clock")
    const theme = el("button", "quiet", icon("theme"))
    theme.setAttribute("aria-label", "Change between light and dark")
    theme.title = "Light or dark"
    theme.addEventListener("click", () => onTheme())
    const brand = el("span", "brand", icon("shield"), "Peacewatch")
    this.header = el("header", "bar", brand, el("h1", "", force), this.pipeline, this.time, theme)
    this.banner = el("div", "banner")
    this.banner.setAttribute("role", "alert")
    this.banner.hidden = true
    this.counters = el("dl", "counters")
    this.values = {}
    for (const [key, name] of [["open", "Open alerts"], ["recovered", "Recovered"], ["rate", "Reports / s"], ["lag", "Lag"], ["latency", "Latency"], ["rejects", "Rejects"]]) {
      const value = el("dd", "value", "–")
      const note = el("dd", "sub", "")
      value.dataset.counter = key
      this.values[key] = [value, note]
      this.counters.append(el("div", "counter", el("dt", "", name), value, note))
    }
    setInterval(() => this.tick(), 1000)
  }

  apply(status) {
    this.heard = Date.now()
    this.clock.set(status.at * 1000)
    this.status = status
    const running = status.pipeline === "running"
    this.counters.classList.toggle("stale", !running)
    const live = (value) => (running ? number(value, 0) : "–")
    this.put("open", number(status.counts.open), "need attention")
    this.put("recovered", number(status.counts.recovered), "good again")
    this.put("rate", live(status.reports_per_s), running ? dataRate(status.megabytes_per_s) : "not running")
    this.put("lag", live(status.lag_reports), "reports waiting")
    this.put("latency", running && status.latency_p50_ms != null ? `${number(status.latency_p50_ms, 0)} ms` : "–",
      `p50, p99 ${running && status.latency_p99_ms != null ? number(status.latency_p99_ms, 0) : "–"} ms`)
    this.put("rejects", number(status.rejected), status.reports == null ? "" : `of ${compact(status.reports)} reports`)
    this.tick()
  }

  put(key, value, note) {
    setText(this.values[key][0], value)
    setText(this.values[key][1], note)
  }

  tick() {
    const now = this.clock.now()
    setText(this.time, `${this.clock.time(now)} ${this.clock.zone(now)}`)
    const lost = Date.now() - this.heard > LOST_AFTER_MS
    if (lost) this.tryAgain()
    const state = lost ? "lost" : this.status?.pipeline
    if (state && this.pipeline.dataset.state !== state) {
      this.pipeline.dataset.state = state
      this.pipeline.replaceChildren(icon(state === "running" ? "running" : "warning"), ...(lost ? ["Connection lost"] : [el("span", "wide", "Pipeline: "), WORDS[state]]))
    }
    const text = lost ? "The connection to the dashboard is lost. What you see is old; the page comes back by itself." : this.trouble()
    this.banner.hidden = !text
    setText(this.banner, text)
  }

  trouble() {
    const status = this.status
    if (!status) return ""
    if (status.desk_error) return `Alerts cannot be read, so new ones are not shown: ${status.desk_error}`
    const since = status.updated_at == null ? "" : ` since ${this.clock.moment(status.updated_at * 1000)}`
    return {
      running: "",
      stopped: `The pipeline has stopped${since}. No new alerts are raised until it runs again.`,
      silent: `The pipeline gives no sign of life${since}. New alerts may be missing: check that it runs.`,
      missing: "No pipeline has run in this workspace yet. Alerts appear here when it does.",
    }[status.pipeline]
  }

  // The session is gone with the connection, so a page that answers again is loaded anew.
  async tryAgain() {
    if (Date.now() < this.retry) return
    this.retry = Date.now() + 3000
    try {
      const answer = await fetch(this.probe, { cache: "no-store" })
      if (answer.status < 500 && Date.now() - this.heard > LOST_AFTER_MS) location.reload()
    } catch {
      // Still away.
    }
  }
}

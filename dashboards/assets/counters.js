// The counters above the alerts.

import { compact, dataRate, el, number, setText } from "./format.js"

const NAMES = [["open", "Open alerts"], ["recovered", "Recovered"], ["rate", "Reports / s"], ["lag", "Lag"], ["latency", "Latency"], ["rejects", "Rejects"], ["silent", "Silent drones", "fleet"]]

export class Counters {
  constructor() {
    this.values = {}
    this.element = el("dl", "counters")
    for (const [key, name, page] of NAMES) {
      const value = el("dd", "value", "–")
      const note = el("dd", "sub", "")
      value.dataset.counter = key
      this.values[key] = [value, note]
      const title = el("dt", "", page ? el("a", "", name) : name)
      if (page) title.firstChild.href = new URL(page, document.baseURI)
      this.element.append(el("div", page ? "counter linked" : "counter", title, value, note))
    }
  }

  apply(status) {
    const running = status.pipeline === "running"
    this.element.classList.toggle("stale", !running)
    const live = (value) => (running ? number(value, 0) : "–")
    this.put("open", number(status.counts.open), "need attention")
    this.put("recovered", number(status.counts.recovered), "good again")
    this.put("rate", live(status.reports_per_s), running ? dataRate(status.megabytes_per_s) : "not running")
    this.put("lag", live(status.lag_reports), "reports waiting")
    this.put("latency", running && status.latency_p50_ms != null ? `${number(status.latency_p50_ms, 0)} ms` : "–",
      `p50, p99 ${running && status.latency_p99_ms != null ? number(status.latency_p99_ms, 0) : "–"} ms`)
    this.put("rejects", number(status.rejected), status.reports == null ? "" : `of ${compact(status.reports)} reports`)
    this.put("silent", number(status.silent), status.drones == null ? "" : `of ${compact(status.drones)} drones`)
  }

  put(key, value, note) {
    setText(this.values[key][0], value)
    setText(this.values[key][1], note)
  }
}

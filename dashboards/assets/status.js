// Whether what is shown is up to date: the pipeline's state, the time, and a plain word if not.

import { el, icon, setText } from "./format.js"
import { reload } from "./reload.js"

const LOST_AFTER_MS = 4000
const LOST = "The connection to the dashboard is lost. What you see is old; the page comes back by itself."
const BREAKING = "The connection to the dashboard keeps breaking, and what you see is old. A proxy in between may cut its websockets: tell whoever runs it. The page tries again by itself, but not as often."
const WORDS = { running: "running", stopped: "stopped", silent: "not answering", missing: "not started" }

export class StatusBar {
  constructor(clock, probe) {
    this.clock = clock
    this.probe = probe
    this.heard = Date.now()
    this.status = null
    this.retry = 0
    this.ended = ""
    this.breaking = false
    this.pipeline = el("span", "pipeline")
    this.pipeline.setAttribute("role", "status")
    this.time = el("span", "clock")
    this.banner = el("div", "banner")
    this.banner.setAttribute("role", "alert")
    this.banner.hidden = true
    setInterval(() => this.tick(), 1000)
  }

  apply(status) {
    this.heard = Date.now()
    this.clock.set(status.at * 1000)
    this.status = status
    this.tick()
  }

  end(why) {
    this.ended = why
    this.tick()
  }

  tick() {
    const now = this.clock.now()
    setText(this.time, `${this.clock.time(now)} ${this.clock.zone(now)}`)
    const lost = !this.ended && Date.now() - this.heard > LOST_AFTER_MS
    if (lost) this.tryAgain()
    const state = lost ? "lost" : this.status?.pipeline
    if (state && this.pipeline.dataset.state !== state) {
      this.pipeline.dataset.state = state
      this.pipeline.replaceChildren(icon(state === "running" ? "running" : "warning"), ...(lost ? ["Connection lost"] : [el("span", "wide", "Pipeline: "), WORDS[state]]))
    }
    const text = this.ended || (lost ? (this.breaking ? BREAKING : LOST) : this.trouble())
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

  // The page's session is gone with the connection, so a server that answers again is asked for the page anew.
  async tryAgain() {
    if (Date.now() < this.retry) return
    this.retry = Date.now() + 3000
    try {
      const answer = await fetch(this.probe, { cache: "no-store" })
      if (answer.status < 500 && Date.now() - this.heard > LOST_AFTER_MS) this.breaking = !reload()
    } catch {
      // Still away.
    }
  }
}

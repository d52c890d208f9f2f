// Short messages that come and go: what was done, and what was not and why.

import { el, icon } from "./format.js"

const STAYS_MS = 5_000
const WARNING_STAYS_MS = 15_000
const MOST = 4

export class Toasts {
  constructor() {
    this.element = el("div", "toasts")
    this.element.setAttribute("role", "status")
    this.element.setAttribute("aria-live", "polite")
  }

  say(text, lines = [], warning = false) {
    const close = el("button", "quiet", icon("close"))
    close.setAttribute("aria-label", "Close this message")
    const toast = el("div", warning ? "toast warning" : "toast", icon(warning ? "warning" : "resolved"),
      el("div", "said", el("strong", "", text), ...lines.map((line) => el("span", "", line))), close)
    close.addEventListener("click", () => toast.remove())
    setTimeout(() => toast.remove(), warning ? WARNING_STAYS_MS : STAYS_MS)
    this.element.append(toast)
    while (this.element.children.length > MOST) this.element.firstChild.remove()
  }
}

// Keys of the live page, and the dialog that explains them.

import { el } from "./format.js"

const HELP = [["j  k", "next and previous alert; so do the arrows"], ["x", "select, to act on several at once"], ["a", "acknowledge"],
  ["s", "assign"], ["r", "resolve"], ["c", "comment"], ["m", "silence"], ["/", "search"], ["Esc", "close, or select nothing"], ["?", "this help"]]
const TYPING = "input, select, textarea, [contenteditable]"

// `keys` is what to call by key; modifiers, dialogs and typing are left alone.
export function listen(keys, isBusy) {
  document.addEventListener("keydown", (event) => {
    const on = event.composedPath()[0]
    if (event.ctrlKey || event.metaKey || event.altKey || isBusy() || on.matches?.(TYPING)) return
    // Enter and space belong to the button that has the focus, and no other key does.
    const act = keys[event.key]
    if (!act) return
    event.preventDefault()
    act()
  })
}

export const keyList = () =>
  el("dl", "keys", ...HELP.flatMap(([key, what]) => [el("dt", "", ...key.split("  ").map((one) => el("kbd", "", one))), el("dd", "", what)]))

export function help() {
  const close = el("button", "button primary", "Close")
  const dialog = el("dialog", "sheet-dialog", el("h2", "", "Keys"),
    keyList(), el("div", "actions", close))
  dialog.setAttribute("aria-label", "Keys")
  close.addEventListener("click", () => dialog.close())
  return dialog
}

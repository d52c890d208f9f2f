// One row of the list: its node, and what is written in it.

import { capital, citizen, duration, el, icon, kind, lateness, number, place, score, setText } from "./format.js"
import { standing } from "./state.js"

const CELLS = ["severity", "name", "action", "score", "limit", "age", "time", "late", "place", "drone", "state", "due"]

export function makeRow(item) {
  const cell = Object.fromEntries(CELLS.map((name) => [name, el("span", name)]))
  const node = el("div", "row",
    el("div", "c-mark", el("span", "mark", icon("check"))),
    el("div", "c-severity", cell.severity),
    el("div", "c-who", cell.name, cell.action),
    el("div", "c-score", cell.score, cell.limit),
    el("div", "c-when", el("span", "ages", cell.age, cell.late), cell.time),
    el("div", "c-where", cell.place, cell.drone),
    el("div", "c-state", cell.state, cell.due))
  node.setAttribute("role", "option")
  node.dataset.id = item.row.alert_id
  node.id = `alert-${item.row.alert_id}`
  node.classList.toggle("new", item.fresh)
  node.addEventListener("animationend", () => {
    node.classList.remove("new")
    item.fresh = false
  })
  Object.assign(item, { node, cell })
}

export function writeRow(item, clock, limits) {
  const { row, node, cell } = item
  if (node.dataset.kind !== kind(row) || node.dataset.severity !== row.severity) {
    cell.severity.replaceChildren(icon(row.severity === "critical" ? "critical" : "high"), capital(row.severity))
    node.dataset.kind = kind(row)
    node.dataset.severity = row.severity
  }
  setText(cell.name, citizen(row))
  setText(cell.action, [row.action, (row.words ?? []).join(", ")].filter(Boolean).join(" · ") || "no action said")
  setText(cell.score, score(row.score))
  setText(cell.limit, `limit ${number(row.threshold)}`)
  setText(cell.time, clock.moment(row.raised_at))
  setText(cell.late, lateness(row))
  setText(cell.place, row.district == null ? place(row) : `District ${row.district}`)
  setText(cell.drone, row.drone_id ?? "unknown drone")
  writeClock(item, clock, limits)
}

// What the passing of time changes.
export function writeClock(item, clock, limits) {
  const { row, node, cell } = item
  setText(cell.age, duration(clock.now() - row.raised_at))
  const { key, word, note, late } = standing(row, clock, limits)
  if (node.dataset.state !== key || item.word !== word) {
    cell.state.replaceChildren(icon(key), el("span", "", word))
    node.dataset.state = key
    item.word = word
  }
  setText(cell.due, note)
  node.classList.toggle("overdue", Boolean(late))
}

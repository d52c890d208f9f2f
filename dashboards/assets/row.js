// One row of the list: its node, and what is written in it.

import { capital, citizen, duration, el, icon, kind, lateness, number, place, score, setText } from "./format.js"

const CELLS = ["severity", "name", "action", "score", "limit", "age", "time", "late", "place", "drone", "state"]

export function makeRow(item) {
  const cell = Object.fromEntries(CELLS.map((name) => [name, el("span", name)]))
  const node = el("div", "row",
    el("div", "c-severity", cell.severity),
    el("div", "c-who", cell.name, cell.action),
    el("div", "c-score", cell.score, cell.limit),
    el("div", "c-when", el("span", "ages", cell.age, cell.late), cell.time),
    el("div", "c-where", cell.place, cell.drone),
    el("div", "c-state", cell.state))
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

export function writeRow(item, clock) {
  const { row, node, cell } = item
  if (node.dataset.kind !== kind(row) || node.dataset.severity !== row.severity) {
    cell.severity.replaceChildren(icon(row.severity === "critical" ? "critical" : "high"), capital(row.severity))
    cell.state.replaceChildren(...(row.state === "recovered" ? [icon("recovered")] : []), capital(row.state))
    node.dataset.kind = kind(row)
    node.dataset.severity = row.severity
  }
  setText(cell.name, citizen(row))
  setText(cell.action, [row.action, (row.words ?? []).join(", ")].filter(Boolean).join(" · ") || "no action said")
  setText(cell.score, score(row.score))
  setText(cell.limit, `limit ${number(row.threshold)}`)
  setText(cell.time, clock.moment(row.raised_at))
  setText(cell.late, lateness(row))
  setText(cell.place, place(row))
  setText(cell.drone, row.drone_id ?? "unknown drone")
  writeAge(item, clock)
}

export function writeAge(item, clock) {
  setText(item.cell.age, duration(clock.now() - item.row.raised_at))
}

// Which alerts the list shows, and in which order. What is raised stays where it
// is while it is updated: it moves only when its state or severity changes.

import { isMine, isResolved, isSilenced, isWaiting } from "./state.js"

const STATE = { open: 0, recovered: 1, resolved: 2 }
const SEVERITY = { critical: 0, high: 1 }
const newest = (a, b) => b.raised_at - a.raised_at || (a.alert_id < b.alert_id ? -1 : 1)
export const ORDERS = {
  severe: (a, b) => STATE[a.state] - STATE[b.state] || (SEVERITY[a.severity] ?? 2) - (SEVERITY[b.severity] ?? 2) || newest(a, b),
  newest,
}

export const SEVERITIES = { all: "All", critical: "Critical", high: "High" }
export const STATES = {
  open: ["All open", (row, clock) => !isResolved(row) && !isSilenced(row, clock.now())],
  waiting: ["Unacknowledged", (row, clock) => isWaiting(row, clock.now())],
  mine: ["Mine", (row) => !isResolved(row) && isMine(row)],
  recovered: ["Recovered", (row) => row.state === "recovered"],
  silenced: ["Silenced", (row, clock) => isSilenced(row, clock.now())],
  resolved: ["Resolved today", (row, clock) => isResolved(row) && clock.isToday(row.resolved_at)],
}
export const USUAL = { severity: "all", state: "open", district: "", text: "" }

export function fits(row, filter, clock) {
  if (filter.severity !== "all" && (row.severity === "critical" ? "critical" : "high") !== filter.severity) return false
  if (filter.district && row.district !== filter.district) return false
  return STATES[filter.state][1](row, clock) && (!filter.text || said(row).includes(filter.text))
}

const said = (row) => [row.citizen_name, row.citizen_id, row.drone_id, row.action, ...(row.words ?? [])].filter(Boolean).join("\n").toLowerCase()

export const samePlace = (a, b) => a.state === b.state && a.severity === b.severity && a.raised_at === b.raised_at

export const isListed = (row) => row.state in STATE

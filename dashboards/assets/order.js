// Which alerts the list shows, and in which order. What is raised stays where it
// is while it is updated: it moves only when its state or severity changes.

import { kind } from "./format.js"

const STATE = { open: 0, recovered: 1 }
const SEVERITY = { critical: 0, high: 1 }
const newest = (a, b) => b.raised_at - a.raised_at || (a.alert_id < b.alert_id ? -1 : 1)
export const ORDERS = {
  severe: (a, b) => STATE[a.state] - STATE[b.state] || (SEVERITY[a.severity] ?? 2) - (SEVERITY[b.severity] ?? 2) || newest(a, b),
  newest,
}
export const FILTERS = {
  all: () => true,
  critical: (row) => kind(row) === "critical",
  high: (row) => kind(row) === "high",
  recovered: (row) => kind(row) === "recovered",
}

export const samePlace = (a, b) => a.state === b.state && a.severity === b.severity && a.raised_at === b.raised_at

export const isListed = (row) => row.state in STATE

// What officers did with an alert, in words and for filters.

import { capital, duration } from "./format.js"

let people = {}
let me = ""

export function know(names, self) {
  people = names
  me = self
}

export const who = (name) => (name === me ? "you" : people[name] ?? name)

// Whether a row speaks of somebody whose name is not known here, as of a new colleague.
export const hasStranger = (row) => [row.acknowledged_by, row.assigned_to, row.resolved_by].some((name) => name != null && !(name in people))

export const isMine = (row) => row.assigned_to === me

export const isResolved = (row) => row.state === "resolved"

export const isTaken = (row) => row.acknowledged_at != null

export const isSilenced = (row, now) => !isResolved(row) && row.silenced_until != null && row.silenced_until > now

export const isWaiting = (row, now) => row.state === "open" && !isTaken(row) && !isSilenced(row, now)

// Milliseconds until an alert is overdue; limits are seconds by severity.
export const dueIn = (row, now, limits) => row.raised_at + 1000 * (row.severity === "critical" ? limits.critical : limits.high) - now

// `key` is what it looks like, `late` whether somebody should have acknowledged it by now.
export function standing(row, clock, limits) {
  const now = clock.now()
  if (isResolved(row)) return { key: "resolved", word: "Resolved", note: [row.reason, row.resolved_by && `by ${who(row.resolved_by)}`].filter(Boolean).join(", ") }
  if (isSilenced(row, now)) return { key: "silenced", word: "Silenced", note: `until ${clock.moment(row.silenced_until)}` }
  const owner = row.assigned_to ?? row.acknowledged_by
  if (row.state === "recovered") return { key: "recovered", word: "Recovered", note: owner ? `with ${who(owner)}` : "nobody has it" }
  if (isTaken(row)) {
    const took = `in ${duration(row.acknowledged_at - row.raised_at)}`
    if (owner !== row.acknowledged_by) return { key: "taken", word: "Assigned", note: `to ${who(owner)}, ${took}` }
    return { key: "taken", word: "Acknowledged", note: `by ${who(row.acknowledged_by)}, ${took}` }
  }
  // What came late is no fresh emergency: nobody is late with it.
  if (row.late) return { key: "open", word: "Open", note: "arrived late" }
  const left = dueIn(row, now, limits)
  const note = left > 0 ? `due in ${duration(left)}` : `overdue ${duration(-left)}`
  if (row.escalated_at != null) return { key: "escalated", word: "Escalated", note, late: left <= 0 }
  return { key: "open", word: row.assigned_to ? `Assigned to ${who(row.assigned_to)}` : "Open", note, late: left <= 0 }
}

export const spoken = (name) => capital(who(name))

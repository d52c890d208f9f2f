// Loading the page anew: seldom if it did not help, so that a connection that keeps breaking costs no more.

const KEY = "peacewatch-reloads"
const REMEMBERED_MS = 600_000
const FREE = 2
const FIRST_MS = 15_000
const LONGEST_MS = 300_000

// Whether `reload` loads it now; false if it was loaded too often of late.
export function reload() {
  const now = Date.now()
  const times = loaded().filter((at) => now - at < REMEMBERED_MS)
  const wait = times.length < FREE ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** (times.length - FREE))
  if (now - (times.at(-1) ?? 0) < wait) return false
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...times, now]))
  } catch {
    // Storage is off: nothing is remembered.
  }
  location.reload()
  return true
}

function loaded() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? []
  } catch {
    return []
  }
}

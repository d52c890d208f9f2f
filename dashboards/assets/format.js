// Small helpers of the page. Text becomes text nodes only: nothing here, or
// anywhere in these files, parses HTML.

export function el(tag, className, ...children) {
  const node = document.createElement(tag)
  if (className) node.className = className
  node.append(...children.filter((child) => child != null))
  return node
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}

// Buttons of which one is pressed, at first the first.
export function choice(label, options, pick) {
  const group = el("div", "choice")
  group.setAttribute("role", "group")
  group.setAttribute("aria-label", label)
  for (const [value, text] of Object.entries(options)) {
    const button = el("button", "", text)
    button.setAttribute("aria-pressed", String(!group.children.length))
    button.addEventListener("click", () => {
      for (const other of group.children) other.setAttribute("aria-pressed", String(other === button))
      pick(value)
    })
    group.append(button)
  }
  return group
}

const PATHS = {
  critical: "M8 .8 15.2 8 8 15.2.8 8ZM7.2 4.4v4.4h1.6V4.4Zm0 5.6v1.6h1.6V10Z",
  high: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13ZM7.2 4.4v4.4h1.6V4.4Zm0 5.6v1.6h1.6V10Z",
  recovered: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13Zm0 1.4a5.1 5.1 0 1 0 0 10.2A5.1 5.1 0 0 0 8 2.9Zm2.6 2.5 1 1-4.4 4.5-2.6-2.6 1-1 1.6 1.6Z",
  running: "M8 3.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9Z",
  warning: "M8 1.2 15.4 14H.6ZM7.2 6v4h1.6V6Zm0 5v1.6h1.6V11Z",
  theme: "M8 1.2a6.8 6.8 0 1 1 0 13.6A6.8 6.8 0 0 1 8 1.2Zm0 1.6v10.4A5.2 5.2 0 0 0 8 2.8Z",
  close: "m4.2 3.1 3.8 3.8 3.8-3.8 1.1 1.1L9.1 8l3.8 3.8-1.1 1.1L8 9.1l-3.8 3.8-1.1-1.1L6.9 8 3.1 4.2Z",
  fold: "m3.4 5 4.6 4.6L12.6 5l1.1 1.1L8 11.8 2.3 6.1Z",
  check: "m6.4 12.3-4-4 1.2-1.2 2.8 2.8 6-6 1.2 1.2Z",
  open: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13Zm0 1.4a5.1 5.1 0 1 0 0 10.2A5.1 5.1 0 0 0 8 2.9Z",
  taken: "M8 1.8a3.1 3.1 0 1 1 0 6.2 3.1 3.1 0 0 1 0-6.2ZM2 14.2c0-3 2.6-4.9 6-4.9s6 1.9 6 4.9Z",
  escalated: "m8 1.5 5.5 6H10v7H6v-7H2.5Z",
  silenced: "M3 2.2 13.8 13l-1 1-1.6-1.7H2.6v-1.2l1.2-1.3V6.9c0-.6.1-1.1.3-1.6L2 3.2ZM6 4A4.2 4.2 0 0 1 12.2 7v2.6ZM6.5 13h3a1.5 1.5 0 0 1-3 0Z",
  resolved: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13Zm2.9 3.7L7 9.1 5.1 7.2 4 8.3l3 3 5-5Z",
  bell: "M8 1.2c.6 0 1 .4 1 1v.4a4.3 4.3 0 0 1 3.2 4.2v3l1.2 1.3v1.2H2.6v-1.2l1.2-1.3v-3A4.3 4.3 0 0 1 7 2.6v-.4c0-.6.4-1 1-1ZM6.5 13h3a1.5 1.5 0 0 1-3 0Z",
  keys: "M1.5 3.5h13v9h-13Zm1.3 1.3v6.4h10.4V4.8ZM4 6h1.4v1.3H4Zm2.7 0h1.4v1.3H6.7Zm2.6 0h1.4v1.3H9.3ZM4.6 8.7h6.8V10H4.6Z",
  person: "M8 1.8a3.1 3.1 0 1 1 0 6.2 3.1 3.1 0 0 1 0-6.2ZM2 14.2c0-3 2.6-4.9 6-4.9s6 1.9 6 4.9Z",
  shield: "M8 .8 14 3v4.6c0 3.7-2.5 6.3-6 7.6-3.5-1.3-6-3.9-6-7.6V3Zm0 3.3L5 8l3 3.9L11 8Z",
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", "0 0 16 16")
  svg.setAttribute("class", "icon")
  svg.setAttribute("aria-hidden", "true")
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  path.setAttribute("d", PATHS[name])
  path.setAttribute("fill-rule", "evenodd")
  svg.append(path)
  return svg
}

export const capital = (word) => (word ? word[0].toUpperCase() + word.slice(1) : "")

// What an alert looks like: its severity while it is open.
export const kind = (row) => (row.state !== "open" ? "recovered" : row.severity === "critical" ? "critical" : "high")

export const citizen = (row) => row.citizen_name || row.citizen_id || "Unknown"

export function number(value, digits = 1) {
  return value == null ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits })
}

export const compact = (value) => value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 })

export const dataRate = (mb) => (mb != null && mb < 0.95 ? `${number(mb * 1000, 0)} kB/s` : `${number(mb)} MB/s`)

export const score = (value) => (value == null ? "–" : value.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 2 }))

export const place = (row) => (row.lat == null || row.lon == null ? "no place" : `${row.lat.toFixed(4)}, ${row.lon.toFixed(4)}`)

export function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000))
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 2 * 86400) return `${Math.floor(s / 3600)} h`
  return `${Math.floor(s / 86400)} d`
}

export const lateness = (row) => (row.late ? `${duration(row.accepted_at - row.first_time)} late` : "")

// Times in the force's zone; "now" is the server's, so that a wrong clock here does not matter.
export class Clock {
  constructor(timeZone) {
    this.skew = 0
    this.times = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit", second: "2-digit" })
    this.days = new Intl.DateTimeFormat("en-GB", { timeZone, day: "numeric", month: "short" })
    this.zones = new Intl.DateTimeFormat("en-GB", { timeZone, timeZoneName: "short", hour: "2-digit" })
  }

  set(serverMs) {
    this.skew = serverMs - Date.now()
  }

  now() {
    return Date.now() + this.skew
  }

  age(ms) {
    return duration(this.now() - ms)
  }

  time(ms) {
    return this.times.format(ms)
  }

  isToday(ms) {
    return ms != null && this.days.format(ms) === this.days.format(this.now())
  }

  // The time, with the day if it is not today's.
  moment(ms) {
    return this.isToday(ms) ? this.time(ms) : `${this.days.format(ms)}, ${this.time(ms)}`
  }

  zone(ms) {
    return this.zones.formatToParts(ms).find((part) => part.type === "timeZoneName").value
  }
}

// The system's page: what the pipeline does, what is stored, and what could not be read.

export function render({ model }) {
  const root = document.createElement("div")
  root.className = "pw system"
  use(model, "format", "plots", "rejects").then((parts) => start(model, root, parts))
  return root
}

function start(model, root, { Clock, compact, dataRate, duration, el, number, setText, Histogram, LineChart, Rejects }) {
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const clock = new Clock(model.timezone)
  const ms = (value) => (value == null ? "–" : value < 1000 ? `${number(value, value < 10 ? 1 : 0)} ms` : `${number(value / 1000)} s`)
  const bytes = (value) => {
    if (value == null) return "elsewhere"
    const power = Math.min(4, Math.floor(Math.log10(Math.max(1, value)) / 3))
    return `${number(value / 1000 ** power, power > 2 ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`
  }

  const counters = el("dl", "counters")
  const values = {}
  for (const [key, name] of [["rate", "Reports / s"], ["lag", "Lag"], ["archive", "Archive lag"], ["p50", "Latency p50"], ["p99", "Latency p99"], ["rejects", "Rejects"], ["free", "Free disk"]]) {
    values[key] = [el("dd", "value", "–"), el("dd", "sub", "")]
    values[key][0].dataset.counter = key
    counters.append(el("div", "counter", el("dt", "", name), ...values[key]))
  }
  const put = (key, value, note) => {
    setText(values[key][0], value)
    if (note != null) setText(values[key][1], note)
  }

  const rate = new LineChart("Throughput, reports / s", { column: 1, write: (value) => compact(value), clock })
  const lag = new LineChart("Lag, reports", { column: 2, write: (value) => compact(value), clock })
  const latency = new Histogram("Latency", {
    write: (value) => compact(value),
    unit: ms,
    range: (low, high) => (low == null ? `below ${ms(high)}` : high == null ? `from ${ms(low)}` : `${ms(low)} to ${ms(high)}`),
  })
  const STEPS = { total: "all of it", slice: "until sliced", dispatch: "until started", decode: "decode", screen: "screen", store: "until stored" }
  const step = el("select", "step", ...Object.entries(STEPS).map(([value, name]) => Object.assign(el("option", "", name), { value })))
  step.setAttribute("aria-label", "Step of the way")
  step.addEventListener("change", () => spread(latest))
  latency.title.after(step)
  const workers = table("Workers", ["Worker", "Threads", "CPU", "Memory", "Tasks"], "No workers: the pipeline is not running.")
  const stored = table("Stored", ["What", "Rows", "Files", "Size"], "")
  const odd = table("Odd reports", ["Drone", "What was odd", "Reports"], "None.")
  const rejects = new Rejects(clock, model, send)
  const main = el("main", "scroll", rate.element, lag.element, latency.element, el("div", "stack intake", rejects.element, odd.element), el("div", "stack", workers.element, stored.element))
  const waits = el("div", "waits")
  waits.setAttribute("role", "status")
  root.append(counters, waits, main)

  function table(title, columns, nothing) {
    const body = el("tbody")
    const head = el("tr", "", ...columns.map((name, at) => el("th", at ? "number" : "", name)))
    const empty = el("p", "empty", nothing)
    const note = el("span", "readout")
    const frame = el("table", "table", el("thead", "", head), body)
    return {
      element: el("section", "card", el("header", "", el("h2", "", title), note), empty, el("div", "scroll", frame)),
      say: (text) => setText(note, text),
      apply(rows) {
        empty.hidden = rows.length > 0
        frame.parentNode.hidden = !rows.length
        while (body.rows.length > rows.length) body.lastChild.remove()
        rows.forEach((cells, line) => {
          const row = body.rows[line] ?? body.appendChild(el("tr", "", ...cells.map((_, at) => el("td", at ? "number" : ""))))
          cells.forEach((text, at) => setText(row.cells[at], text))
        })
      },
    }
  }

  let latest = null
  // The histogram of the step that is chosen: of the findings of the last minute.
  function spread(said) {
    const edges = said?.latency_histogram_ms?.edges
    const chosen = step.value === "total" ? { ...said?.latency_ms, counts: said?.latency_histogram_ms?.counts } : said?.latency_steps_ms?.find((one) => one.step === step.value)
    if (said?.state !== "running" || !edges || !chosen) {
      latency.say("not running")
      return
    }
    const { counts } = chosen
    const used = counts.flatMap((count, bucket) => (count ? [bucket] : []))
    const findings = counts.reduce((sum, count) => sum + count, 0)
    latency.apply(edges, counts, [Math.max(0, Math.min(4, ...used) - 1), Math.min(counts.length - 1, Math.max(18, ...used) + 1)])
    latency.say(findings && chosen.p50 != null ? `p50 ${ms(chosen.p50)}, p99 ${ms(chosen.p99)}` : `${number(findings, 0)} findings`)
  }

  let points = []
  let pointsChanged = false
  function live(said, more) {
    const running = said.state === "running"
    const told = (value, write) => (running && value != null ? write(value) : "–")
    counters.classList.toggle("stale", !running)
    const waited = running || said.state === "stopped" ? (said.waiting_for ?? []) : []
    waits.hidden = !waited.length
    setText(waits, waited.map((one) => `Waiting for the ${one.what} for ${duration(1000 * one.seconds)}: ${one.reason}`).join("\n"))
    put("rate", told(said.reports_per_s, (value) => number(value, 0)), running ? dataRate(said.megabytes_per_s) : "not running")
    put("lag", told(said.lag_reports, (value) => number(value, 0)), "waiting to be screened")
    put("archive", told(said.archive_lag_reports, (value) => number(value, 0)), "waiting to be archived")
    put("p50", told(said.latency_ms?.p50, ms), "half are faster")
    put("p99", told(said.latency_ms?.p99, ms), "of the last minute")
    pointsChanged ||= more.length > 0
    if (more.length) points = [...points, ...more].slice(-1800)
    if (pointsChanged) {
      rate.apply(points, said.at)
      lag.apply(points, said.at)
      pointsChanged = false
    }
    latest = said
    spread(said)
    rate.say(running ? "the last hour" : "not running")
    lag.say(running ? "the last hour" : "not running")
    workers.say(running ? `running for ${duration(1000 * (said.at - said.started_at))}` : "")
    workers.apply(running ? (said.dask ?? []).toSorted((one, other) => one.name.localeCompare(other.name, "en", { numeric: true })).map(worker) : [])
  }

  const worker = (one) => [
    one.name, number(one.nthreads), one.cpu_percent == null ? "–" : `${number(one.cpu_percent, 0)} %`,
    one.memory_mb == null ? "–" : bytes(one.memory_mb * 1e6) + (one.memory_limit_mb ? ` of ${bytes(one.memory_limit_mb * 1e6)}` : ""), number(one.processing),
  ]

  function holds(said) {
    const names = { reports: "Reports", sightings: "Sightings", identities: "Identities", rejects: "Rejects", alerts: "Changes of alerts" }
    const tables = said.tables.map((one) => [names[one.name] ?? one.name, number(one.rows, 0), number(one.files, 0), bytes(one.bytes)])
    const places = [["Archive on disk", said.lake_bytes], ["Log", said.log_bytes], ["Desk", said.desk_bytes]]
    stored.apply([...tables, ...places.map(([name, size]) => [name, "", "", bytes(size)])])
    stored.say(`${number(said.duplicates, 0)} copies left out`)
    put("free", bytes(said.free_bytes), `of ${bytes(said.disk_bytes)}`)
    put("rejects", number(said.waiting, 0), said.waiting ? "not requeued" : "none waiting")
    rejects.apply(said)
    odd.apply(said.odd.map(([drone, kind, reports]) => [drone, kind, number(reports, 0)]))
  }

  model.on("msg:custom", (event) => {
    const message = event.data ?? event
    if (message.live) live(message.live, message.points)
    if (message.stored) holds(message.stored)
    if (message.lines) rejects.show(message.kind, message.lines)
    if ("done" in message) rejects.done(message.done)
    if (message.failed) rejects.failed(message.failed)
  })
  document.addEventListener("peacewatch-status", ({ detail: status }) => clock.set(status.at * 1000))
  send({ ready: true })
}

// The fleet's page: a long table of which only the rows in view are there.

const ROW = 34
const SPARE = 15

export function render({ model }) {
  const root = document.createElement("div")
  root.className = "pw fleet"
  use(model, "format", "plots").then((parts) => start(model, root, parts))
  return root
}

function start(model, root, { Clock, choice, compact, duration, el, icon, number, setText, Histogram }) {
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const clock = new Clock(model.timezone)
  const query = { text: "", group: "all", sort: "seen", down: false }
  let at = 0

  const counters = el("dl", "counters")
  const values = {}
  const names = { all: ["Drones", ""], heard: ["Reporting", `in the last ${duration(model.silent_after_s * 1000)}`], silent: ["Silent", `for ${duration(model.silent_after_s * 1000)} or longer`], low: ["Low battery", `below ${model.low_percent} %`], hot: ["Hot", `above ${model.hot_c} °C`], clock: ["Clock off", `by more than ${duration(model.clock_s * 1000)}`] }
  for (const [key, [name, note]] of Object.entries(names)) {
    values[key] = [el("dd", "value", "–"), el("dd", "sub", note)]
    values[key][0].dataset.counter = key
    counters.append(el("div", "counter", el("dt", "", name), ...values[key]))
  }

  const search = el("input", "field search")
  search.type = "search"
  search.placeholder = "Drone, status or district"
  search.setAttribute("aria-label", "Search drones")
  search.addEventListener("input", () => ask({ text: search.value }))
  const groups = choice("Which drones", { all: "All", silent: "Silent", low: "Low battery", hot: "Hot", clock: "Clock off" }, (group) => ask({ group }))
  const note = el("span", "note")
  note.setAttribute("role", "status")

  const columns = [["drone", "Drone"], ["seen", "Last seen"], ["battery", "Battery"], ["temperature", "Temperature"], ["status", "Status"], ["district", "District"], ["place", "Place"], ["reports", "Reports"], ["clock", "Clock"]]
  const heads = {}
  const head = el("div", "line head")
  head.setAttribute("role", "row")
  for (const [key, name] of columns) {
    const cell = el("div", `c-${key}`, name)
    cell.setAttribute("role", "columnheader")
    if (key !== "place") {
      const button = el("button", "sort", name)
      button.addEventListener("click", () => ask({ sort: key, down: query.sort === key ? !query.down : false }))
      cell.replaceChildren(button)
      heads[key] = cell
    }
    head.append(cell)
  }
  const sheet = el("div", "sheet")
  const view = el("div", "view", sheet)
  view.tabIndex = 0
  view.setAttribute("role", "rowgroup")
  view.setAttribute("aria-label", "Drones")
  const empty = el("p", "empty", "Looking …")
  const table = el("div", "rows", head, view)
  table.setAttribute("role", "table")
  const battery = new Histogram("Battery", { write: compact, unit: (edge) => `${edge} %`, range: (low, high) => `${low ?? 0} to ${high ?? 100} %` })
  const temperature = new Histogram("Temperature", { write: compact, unit: (edge) => `${edge} °C`, range: (low, high) => (low == null ? `below ${high} °C` : high == null ? `from ${low} °C` : `${low} to ${high} °C`) })
  const list = el("section", "card list", el("div", "tools", search, groups, note), table, empty)
  root.append(counters, el("main", "", list, el("div", "stack", battery.element, temperature.element)))

  function ask(change) {
    Object.assign(query, change)
    view.scrollTop = 0
    for (const [key, cell] of Object.entries(heads)) {
      if (key === query.sort) cell.setAttribute("aria-sort", query.down ? "descending" : "ascending")
      else cell.removeAttribute("aria-sort")
    }
    send({ query, ...inView() })
  }

  const inView = () => ({ first: Math.max(0, Math.floor(view.scrollTop / ROW) - SPARE), count: Math.ceil((view.clientHeight || 600) / ROW) + 2 * SPARE })
  let scheduled = false
  let asked = 0
  function look() {
    if (scheduled) return
    scheduled = true
    requestAnimationFrame(() => {
      scheduled = false
      const { first, count } = inView()
      // The spare rows at both ends are for scrolling a little without asking.
      if (Math.abs(first - asked) < SPARE / 2 && first !== 0) return
      asked = first
      send({ first, count })
    })
  }
  view.addEventListener("scroll", look, { passive: true })
  new ResizeObserver(look).observe(view)

  const lines = []
  function line(number) {
    while (lines.length <= number) {
      const made = el("div", "line", ...columns.map(([key]) => el("div", `c-${key}`)))
      made.setAttribute("role", "row")
      for (const cell of made.children) cell.setAttribute("role", "cell")
      lines.push(made)
      sheet.append(made)
    }
    return lines[number]
  }

  function fill(made, [drone, seen, charge, degrees, status, district, lat, lon, reports, silent, ahead, wrong]) {
    const low = charge != null && charge < model.low_percent
    const hot = degrees != null && degrees > model.hot_c
    const known = reports > 0
    const off = Math.abs(ahead) > model.clock_s * 1000
    const texts = [drone, known ? `${silent ? "silent " : ""}${duration(at - seen)}` : "–", charge == null ? "–" : `${number(charge, 0)} %${low ? " low" : ""}`,
      degrees == null ? "–" : `${number(degrees)} °C${hot ? " hot" : ""}`, status ?? "–", district ?? "outside", lat == null ? "–" : `${lat.toFixed(4)}, ${lon.toFixed(4)}`, number(reports, 0),
      off ? `${duration(Math.abs(ahead))} ${ahead > 0 ? "ahead" : "behind"}` : wrong ? `${number(wrong, 0)} wrong` : "right"]
    texts.forEach((text, cell) => setText(made.children[cell], text))
    made.children[1].title = clock.moment(seen)
    made.children[1].classList.toggle("alarm", silent)
    made.children[2].classList.toggle("alarm", low)
    made.children[3].classList.toggle("alarm", hot)
    made.children[8].classList.toggle("alarm", off || wrong > 0)
    made.children[8].title = `${number(wrong, 0)} reports with a time that cannot be believed`
  }

  model.on("msg:custom", (event) => {
    const { fleet } = event.data ?? event
    if (!fleet) return
    at = fleet.at
    sheet.style.height = `${fleet.matching * ROW}px`
    fleet.rows.forEach((row, place) => {
      const made = line(place)
      made.hidden = false
      made.style.transform = `translateY(${(fleet.first + place) * ROW}px)`
      fill(made, row)
    })
    for (const made of lines.slice(fleet.rows.length)) made.hidden = true
    const { summary } = fleet
    setText(values.heard[0], number(summary.all - summary.silent, 0))
    for (const key of ["all", "silent", "low", "hot", "clock"]) setText(values[key][0], number(summary[key], 0))
    setText(values.all[1], `${compact(summary.reports)} reports`)
    battery.apply(summary.battery.edges, summary.battery.counts, [0, summary.battery.counts.length - 1])
    temperature.apply(summary.temperature.edges, summary.temperature.counts, spanOf(summary.temperature.counts))
    setText(note, fleet.error ?? (fleet.whole ? `${number(fleet.matching, 0)} ${fleet.matching === 1 ? "drone" : "drones"}` : "still reading the archive …"))
    setText(empty, summary.all ? "No drone matches." : "No drone has been heard of yet.")
    empty.hidden = fleet.matching > 0
  })

  function spanOf(counts) {
    const used = counts.flatMap((count, bucket) => (count ? [bucket] : []))
    return used.length ? [Math.max(0, used[0] - 1), Math.min(counts.length - 1, used.at(-1) + 1)] : [0, counts.length - 1]
  }

  heads.seen.setAttribute("aria-sort", "ascending")
  document.addEventListener("peacewatch-status", ({ detail: status }) => clock.set(status.at * 1000))
  send({ ready: true, query, ...inView() })
}

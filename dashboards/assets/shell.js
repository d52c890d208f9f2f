// The header of every page, plain words when what is shown is not up to date, and
// the end of a session. What the pipeline says of itself is passed on to the page
// inside as the event "peacewatch-status" of the document.

const ACTIVE_EVERY_MS = 60_000

// The page must be in its place when this returns, or its plots are never drawn; all else is put around it.
export function render({ model }) {
  const [root, content] = ["div", "div"].map((tag) => document.createElement(tag))
  root.className = "pw shell"
  content.className = "content"
  content.append(model.get_child("page"))
  root.append(content)
  // Nothing has to be said of why the page is not there: see waiting.js.
  document.documentElement.dataset.there = ""
  document.getElementById("waiting").hidden = true
  use(model, "format", "status", "feed").then((parts) => start(model, root, parts))
  return root
}

function start(model, root, { Clock, el, icon, StatusBar, follow }) {
  const send = (message) => model.send_msg({ token: model.token, ...message })
  const clock = new Clock(model.timezone)
  const status = new StatusBar(clock, new URL(`${model.assets}/format.js`, document.baseURI).href)
  root.prepend(header(model, send, status, { el, icon }), status.banner)

  model.on("msg:custom", (event) => {
    const { ended } = event.data ?? event
    if (!ended) return
    status.end(ended)
    location.replace(new URL("sign-in", document.baseURI))
  })
  follow(model.token, (message) => {
    if (!message.status) return
    status.apply(message.status)
    document.dispatchEvent(new CustomEvent("peacewatch-status", { detail: message.status }))
  })

  let active = Date.now()
  const atWork = () => {
    if (Date.now() - active < ACTIVE_EVERY_MS) return
    active = Date.now()
    send({ active: true })
  }
  for (const name of ["pointerdown", "keydown", "wheel", "touchstart"]) addEventListener(name, atWork, { passive: true, capture: true })
}

function header(model, send, status, { el, icon }) {
  const menu = el("nav", "menu", ...model.menu.map(({ route, title }) => {
    const link = el("a", "", title)
    link.href = new URL(`.${route}`, document.baseURI)
    if (route === model.route) link.setAttribute("aria-current", "page")
    return link
  }))
  menu.setAttribute("aria-label", "Pages")
  // On a phone the menu is wider than its place: where one is stays in view.
  new ResizeObserver(() => {
    const here = menu.querySelector("[aria-current]")
    if (here) menu.scrollLeft = here.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2
  }).observe(menu)
  const theme = el("button", "quiet", icon("theme"))
  theme.setAttribute("aria-label", "Change between light and dark")
  theme.title = "Light or dark"
  theme.addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"))
  return el("header", "bar", el("span", "brand", icon("shield"), "Peacewatch"), el("h1", "", model.force), menu,
    status.pipeline, status.time, theme, who(model.user, send, { el, icon }))
}

function who(user, send, { el, icon }) {
  const out = el("button", "button", "Sign out")
  out.addEventListener("click", () => send({ sign_out: true }))
  const summary = el("summary", "", icon("person"), el("span", "display", user.display_name))
  summary.setAttribute("aria-label", `Signed in as ${user.display_name}`)
  const menu = el("details", "who", summary, el("div", "sheet", el("strong", "", user.display_name), el("span", "muted", `${user.name}, ${user.role}`), out))
  document.addEventListener("click", (event) => {
    if (!event.composedPath().includes(menu)) menu.open = false
  })
  return menu
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme
  try {
    localStorage.setItem("peacewatch-theme", theme)
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
  document.dispatchEvent(new CustomEvent("peacewatch-theme", { detail: theme }))
}

// Says why a page stays empty: all that is on it comes through a websocket, which a proxy may not let through.
// It tries again by itself, and loads the page once there is a way. `shell.js` says that the page is there.

import { reload } from "./reload.js"

const PATIENCE_MS = 8000
const AGAIN_MS = 10_000
const SLOW_LOOKS = 2
const MOST_LOOKS = 12
const REFUSED = "This page cannot be shown: the dashboard answers, but its websockets do not get through. A proxy in between must pass them on (HTTP/1.1, with the headers Upgrade and Connection): tell whoever runs it. The page tries again by itself."
const AWAY = "This page cannot be shown: the dashboard does not answer. The page tries again by itself."

const SLOW = "This page takes long to come: the line is slow, or a proxy in between cuts its websockets. It is asked for anew if it does not come."

let looks = 0
let blocked = false
const place = document.getElementById("waiting")
const isThere = () => "there" in document.documentElement.dataset

function say(text) {
  place.textContent = text
  place.hidden = false
}

function passes() {
  const url = new URL("feed", document.baseURI)
  url.protocol = url.protocol.replace("http", "ws")
  return new Promise((resolve) => {
    const socket = new WebSocket(url)
    const end = (opened) => {
      resolve(opened)
      socket.close()
    }
    socket.addEventListener("open", () => end(true))
    socket.addEventListener("error", () => end(false))
    setTimeout(() => end(false), AGAIN_MS)
  })
}

async function look() {
  const opened = await passes()
  if (isThere()) return
  if (opened) {
    // A slow line may still bring it, unless there was no way when it was asked for.
    looks += 1
    if (blocked || looks > MOST_LOOKS) reload()
    else if (looks > SLOW_LOOKS) say(SLOW)
  } else {
    const answer = await fetch(import.meta.url, { cache: "no-store" }).catch(() => null)
    // Who is not signed in any more is led to where one can be.
    if (answer?.redirected) reload()
    if (isThere()) return
    blocked = true
    say(answer?.ok ? REFUSED : AWAY)
  }
  setTimeout(look, AGAIN_MS)
}

setTimeout(() => isThere() || look(), PATIENCE_MS)

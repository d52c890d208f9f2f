// What the server tells all pages alike, through a websocket of its own (dashboards/feed.py).
// A page has one, whichever of its parts asks first. It is not opened again: a page that hears
// nothing any more is loaded anew.

const hearers = []
let socket = null

// `hear` is called with every message from now on; `alerts` asks for those too.
export function follow(token, hear, alerts = false) {
  hearers.push(hear)
  socket ??= open()
  const ask = () => socket.send(JSON.stringify({ token, alerts }))
  if (socket.readyState === WebSocket.CONNECTING) socket.addEventListener("open", ask)
  else ask()
}

function open() {
  const url = new URL("feed", document.baseURI)
  url.protocol = url.protocol.replace("http", "ws")
  const made = new WebSocket(url)
  made.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data)
    hearers.forEach((hear) => hear(message))
  })
  return made
}

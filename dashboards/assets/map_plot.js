// The part of a map that is the browser's: what is in view. Body of Bokeh callbacks,
// with plot, area, port and goto as arguments; makes `map`, once for each plot.
//
// A metre is as long northwards as eastwards whatever the frame's shape: the whole
// area is shown until the officer pans or zooms, from then on the middle and the
// scale stay. Where one looks is told to the server through `port`, at most every
// quarter of a second.

const TELL_MS = 250

function begin() {
  const { x_range: xs, y_range: ys } = plot
  let fitted = null
  let timer = null
  // Tiles would move the view to a zoom of their own, and when the frame's size changes.
  for (const { tile_source: tiles } of plot.renderers) if (tiles) tiles.snap_to_zoom_level = tiles.rescale = (extent) => extent
  const sized = () => plot.inner_width > 0 && plot.inner_height > 0
  const ends = () => [xs.start, xs.end, ys.start, ys.end]
  const set = (x0, x1, y0, y1) => {
    xs.setv({ start: x0, end: x1 })
    ys.setv({ start: y0, end: y1 })
  }
  const tell = () => {
    clearTimeout(timer)
    timer = null
    if (sized()) port.data = { view: [...ends(), plot.inner_width, plot.inner_height] }
  }
  const about = (x, y, scale) => {
    const [width, height] = [plot.inner_width * scale, plot.inner_height * scale]
    return [x - width / 2, x + width / 2, y - height / 2, y + height / 2]
  }
  const inBounds = ([x0, x1, y0, y1]) => {
    const within = (low, high, range) => !range.bounds || (low >= range.bounds[0] && high <= range.bounds[1])
    return within(x0, x1, xs) && within(y0, y1, ys) && x1 - x0 >= (xs.min_interval ?? 0)
  }
  return {
    fit(again) {
      if (!sized()) return
      const moved = fitted && ends().some((value, i) => Math.abs(value - fitted.ends[i]) > 1e-6)
      const keep = moved && !again
      const [x0, x1, y0, y1] = keep ? ends() : area
      const scale = keep ? (x1 - x0) / fitted.width : Math.max((x1 - x0) / plot.inner_width, (y1 - y0) / plot.inner_height)
      const to = about((x0 + x1) / 2, (y0 + y1) / 2, scale)
      const first = !fitted
      fitted = { width: plot.inner_width, ends: keep ? fitted.ends : to }
      set(...to)
      if (first) tell()
      else this.moved()
    },
    moved() {
      timer ??= setTimeout(tell, TELL_MS)
    },
    zoom(factor) {
      const [x0, x1, y0, y1] = ends()
      const to = about((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / plot.inner_width * factor)
      if (inBounds(to)) set(...to)
    },
    pan(right, up) {
      const [x0, x1, y0, y1] = ends()
      const [dx, dy] = [(x1 - x0) * right, (y1 - y0) * up]
      const to = [x0 + dx, x1 + dx, y0 + dy, y1 + dy]
      if (inBounds(to)) set(...to)
    },
    show(x, y) {
      const [x0, x1, y0, y1] = ends()
      if (!sized() || !(x <= x1 && x >= x0 && y <= y1 && y >= y0)) set(...[x, x, y, y].map((at, i) => at + (i % 2 - 0.5) * (i < 2 ? x1 - x0 : y1 - y0)))
    },
    ends,
    frame: () => [plot.inner_width, plot.inner_height],
    // Where a place of the plane is on the screen; `element` is set by whoever shows the plot.
    screen(x, y) {
      const [x0, x1, y0, y1] = ends()
      const box = this.element.getBoundingClientRect()
      return [box.x + (x - x0) / (x1 - x0) * plot.inner_width, box.y + (y1 - y) / (y1 - y0) * plot.inner_height]
    },
    renderers: (name) => plot.renderers.filter((renderer) => renderer.data_source?.name === name),
    source(name) {
      return this.renderers(name)[0]?.data_source
    },
  }
}

const maps = (window.peacewatchMaps ??= new Map())
if (!maps.has(plot.id)) maps.set(plot.id, begin())
const map = maps.get(plot.id)

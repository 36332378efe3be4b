// Axes, lines and bands as SVG. Colours and dashes are in the style sheet, by class.

const MARGIN = { left: 62, right: 14, top: 10, bottom: 44 };

/** From values to pixels, linear or logarithmic; `back` goes the other way. */
function scale(low, high, from, to, log) {
  const f = log ? Math.log : (x) => x;
  const a = f(low);
  const b = f(high);
  const at = (x) => from + ((to - from) * (f(Math.max(x, log ? 1e-300 : -Infinity)) - a)) / (b - a || 1);
  const back = (p) => {
    const value = a + ((b - a) * (p - from)) / (to - from);
    return log ? Math.exp(value) : value;
  };
  return Object.assign(at, { low, high, log, back, ticks: log ? decades(low, high) : rounds(low, high) });
}

function rounds(low, high, most = 6) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) ticks.push(k * step);
  return ticks;
}

function decades(low, high) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const many = Math.log10(high / low);
  if (many < 0.5) return rounds(low, high).filter((x) => x > 0);
  const parts = many < 1.8 ? [1, 2, 5] : [1];
  const stride = Math.max(1, Math.ceil((last - first) / 7));
  const ticks = [];
  for (let k = first; k <= last; k += stride) for (const part of parts) ticks.push(part * 10 ** k);
  return ticks.filter((x) => x >= low * 0.999 && x <= high * 1.001);
}

/** An empty chart; x and y are {low, high, log, label}. `label` says in words what it shows. */
function chart(width, height, x, y, label) {
  const inner = { right: width - MARGIN.right, bottom: height - MARGIN.bottom };
  const across = scale(x.low, x.high, MARGIN.left, inner.right, x.log);
  const up = scale(y.low, y.high, inner.bottom, MARGIN.top, y.log);
  const clip = unique("clip");
  const size = { x: MARGIN.left, y: MARGIN.top, width: inner.right - MARGIN.left, height: inner.bottom - MARGIN.top };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  const plot = svg("g", { "clip-path": `url(#${clip})` });
  const axes = svg("g", { class: "axes" });
  for (const tick of up.ticks) {
    axes.append(svg("path", { d: `M${MARGIN.left},${up(tick)}H${inner.right}`, class: "grid" }));
    axes.append(svg("text", { x: MARGIN.left - 6, y: up(tick) + 4, "text-anchor": "end" }, plain(tick)));
  }
  const room = size.width / 46;
  const every = Math.max(1, Math.ceil(across.ticks.length / room));
  across.ticks.forEach((tick, i) => {
    axes.append(svg("path", { d: `M${across(tick)},${inner.bottom}v5`, class: "tick" }));
    if (i % every) return;
    axes.append(svg("text", { x: across(tick), y: inner.bottom + 18, "text-anchor": "middle" }, plain(tick)));
  });
  axes.append(svg("path", { d: `M${MARGIN.left},${MARGIN.top}V${inner.bottom}H${inner.right}`, class: "frame" }));
  const middle = (MARGIN.left + inner.right) / 2;
  axes.append(svg("text", { x: middle, y: height - 6, "text-anchor": "middle", class: "name" }, x.label || ""));
  const turned = { transform: `translate(14,${(MARGIN.top + inner.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" };
  axes.append(svg("text", { ...turned, class: "name" }, y.label || ""));
  root.append(svg("defs", {}, svg("clipPath", { id: clip }, svg("rect", size))), axes, plot);
  return { root, plot, x: across, y: up, left: MARGIN.left, right: inner.right, top: MARGIN.top, bottom: inner.bottom };
}

function line(c, xs, ys, look) {
  let d = "";
  let pen = false;
  xs.forEach((x, i) => {
    if (ys[i] === null || !Number.isFinite(ys[i])) {
      pen = false;
      return;
    }
    d += `${pen ? "L" : "M"}${c.x(x).toFixed(1)},${c.y(ys[i]).toFixed(1)}`;
    pen = true;
  });
  const path = svg("path", { d: d || "M0,0", class: `line ${look}` });
  c.plot.append(path);
  return path;
}

function band(c, xs, lows, highs, look) {
  const there = xs.map((_, i) => i).filter((i) => Number.isFinite(lows[i]) && Number.isFinite(highs[i]) && lows[i] !== null);
  if (!there.length) return;
  const up = there.map((i) => `${c.x(xs[i]).toFixed(1)},${c.y(highs[i]).toFixed(1)}`);
  const down = there.reverse().map((i) => `${c.x(xs[i]).toFixed(1)},${c.y(lows[i]).toFixed(1)}`);
  c.plot.append(svg("path", { d: `M${up.join("L")}L${down.join("L")}Z`, class: `band ${look}` }));
}

/** Many small points as one path. */
function dots(c, xs, ys, look) {
  const d = xs.map((x, i) => `M${c.x(x).toFixed(1)},${c.y(ys[i]).toFixed(1)}h0`).join("");
  c.plot.append(svg("path", { d: d || "M0,0", class: `dots ${look}` }));
}

const MARKERS = [
  (x, y) => `M${x - 4},${y}a4,4 0 1,0 8,0a4,4 0 1,0 -8,0`,
  (x, y) => `M${x - 4},${y - 4}h8v8h-8Z`,
  (x, y) => `M${x},${y - 5}l5,9h-10Z`,
  (x, y) => `M${x},${y - 5}l5,5l-5,5l-5,-5Z`,
  (x, y) => `M${x},${y + 5}l5,-9h-10Z`,
];

function marker(c, x, y, which, look, title) {
  const shape = svg("path", { d: MARKERS[which % MARKERS.length](c.x(x), c.y(y)), class: `marker ${look}` });
  if (title) shape.append(svg("title", {}, title));
  c.plot.append(shape);
}

/** A line across the chart at a value of x, or of y. */
function upright(c, x, look) {
  const path = svg("path", { d: `M${c.x(x).toFixed(1)},${c.top}V${c.bottom}`, class: `line ${look}` });
  c.plot.append(path);
  return path;
}

function level(c, y, look, text) {
  if (y < c.y.low || y > c.y.high) return;
  c.plot.append(svg("path", { d: `M${c.left},${c.y(y).toFixed(1)}H${c.right}`, class: `line ${look}` }));
  if (text) c.plot.append(svg("text", { x: c.right - 4, y: c.y(y) - 4, "text-anchor": "end", class: "note" }, text));
}

/** Call `found(index)` with the nearest of the sorted values of x, wherever the pointer moves over a chart. */
function pointed(c, xs, found) {
  c.root.addEventListener("pointermove", (event) => {
    const box = c.root.getBoundingClientRect();
    const at = c.x.back(((event.clientX - box.left) * c.root.viewBox.baseVal.width) / box.width);
    let best = 0;
    xs.forEach((x, i) => {
      if (Math.abs(x - at) < Math.abs(xs[best] - at)) best = i;
    });
    found(best);
  });
}

/** The smallest and the largest of the finite numbers of some lists; positive ones only on a logarithmic axis. */
function extent(lists, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const list of lists) {
    for (const x of list) {
      if (x === null || !Number.isFinite(x) || (log && x <= 0)) continue;
      low = Math.min(low, x);
      high = Math.max(high, x);
    }
  }
  if (low > high) return log ? [1, 10] : [0, 1];
  if (low === high) return log ? [low / 2, high * 2] : [low - 1, high + 1];
  return [low, high];
}

// What all views share: elements, numbers, controls, and redrawing when the width changes. Text is never read as markup.

const page = JSON.parse(document.getElementById("data").textContent);
const NAMESPACE = document.getElementById("empty").namespaceURI;
let count = 0;

function unique(name) {
  count += 1;
  return `${name}-${count}`;
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(NAMESPACE, name), attributes, children);

/** A number in three digits, without an exponent where it can be read without one. */
function plain(x) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size >= 1e6 || (size > 0 && size < 1e-4)) return x.toExponential(2);
  return Number(x.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 8 });
}

const interval = (low, high) => `${plain(low)} to ${plain(high)}`;
const percent = (x) => (x === null ? "–" : `${Math.round(100 * x)} %`);
const withUnit = (text, unit) => (unit && unit !== "1" ? `${text} [${unit}]` : text);

function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

/** A labelled list of options; each is text, or [value, text]. */
function choose(label, options, value, changed) {
  const id = unique("choice");
  const list = html("select", { id, change: (event) => changed(event.target.value) });
  for (const option of options) {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    list.append(html("option", { value: key, selected: String(key) === String(value) }, text));
  }
  return html("span", { class: "control" }, html("label", { for: id }, label), list);
}

function tick(label, checked, changed) {
  const id = unique("tick");
  const box = html("input", { id, type: "checkbox", checked, change: (event) => changed(event.target.checked) });
  return html("span", { class: "control" }, box, html("label", { for: id }, label));
}

/** A slider over 0 ... last; `text(i)` says in words where it stands. */
function slide(label, last, value, text, changed) {
  const id = unique("slider");
  const shown = html("output", { for: id }, text(value));
  const bar = html("input", { id, type: "range", min: 0, max: last, step: 1, value, "aria-valuetext": text(value) });
  const move = (i) => {
    bar.value = i;
    shown.textContent = text(i);
    bar.setAttribute("aria-valuetext", text(i));
  };
  bar.addEventListener("input", () => {
    move(Number(bar.value));
    changed(Number(bar.value));
  });
  const node = html("span", { class: "control slider" }, html("label", { for: id }, label), bar, shown);
  return { node, move };
}

/** A table of rows of text; the first column heads its row. */
function tabulate(caption, heads, rows) {
  const top = html("tr", {}, ...heads.map((head) => html("th", { scope: "col" }, head)));
  const body = rows.map((row) =>
    html("tr", {}, ...row.map((cell, i) => (i ? html("td", {}, cell) : html("th", { scope: "row" }, cell)))),
  );
  const table = html("table", {}, html("caption", {}, caption), html("thead", {}, top), html("tbody", {}, ...body));
  return html("div", { class: "scroll", role: "group", "aria-label": caption, tabindex: 0 }, table);
}

/** A table that is made when it is opened. */
function unfolded(title, make) {
  const details = html("details", { class: "fallback" }, html("summary", {}, title));
  details.addEventListener("toggle", () => {
    if (details.open) details.replaceChildren(details.firstChild, make());
  });
  return details;
}

/** Samples of lines and bands with their names. */
function legend(entries) {
  const items = entries.map(([kind, look, text]) => {
    const samples = {
      band: () => svg("rect", { x: 0, y: 2, width: 22, height: 10, class: `band ${look}` }),
      point: () => svg("circle", { cx: 11, cy: 7, r: 4, class: look }),
      dose: () => svg("path", { d: "M11,2l5,9h-10Z", class: look }),
      line: () => svg("path", { d: "M0,7H22", class: `line ${look}` }),
    };
    const mark = samples[kind]();
    return html("li", {}, svg("svg", { width: 22, height: 14, "aria-hidden": "true" }, mark), text);
  });
  return html("ul", { class: "legend" }, ...items);
}

/** Draw now, and again whenever the width of `place` has changed; returns what draws anew. */
function drawn(place, draw) {
  let width = 0;
  const again = () => {
    width = Math.max(280, place.clientWidth);
    draw(width);
  };
  again();
  new ResizeObserver(() => {
    if (Math.abs(Math.max(280, place.clientWidth) - width) > 1) again();
  }).observe(place);
  return again;
}

// Tables that sort and filter, the theme, printing, and the views that the page asks for.

const MANY = 15; // rows from which on a table can be filtered

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = html("button", { type: "button", class: "sort" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = [...body.rows].sort((a, b) => order(a.cells[column], b.cells[column]) * (down ? -1 : 1));
      const blank = (row) => !row.cells[column].textContent.trim();
      body.append(...sorted.filter((row) => !blank(row)), ...sorted.filter(blank)); // blanks come last either way
    });
  });
  if (body.rows.length > MANY) table.parentElement.before(filtered(table.caption.textContent, [...body.rows]));
}

/** Numbers by their value, words by the alphabet. */
function order(a, b) {
  const [x, y] = [a.dataset.order, b.dataset.order];
  if (x !== undefined && y !== undefined) return Number(x) - Number(y);
  return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
}

function filtered(title, rows) {
  const id = unique("filter");
  const shown = html("output", { for: id }, `${rows.length} rows`);
  const box = html("input", { id, type: "search" });
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let number = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      number += row.hidden ? 0 : 1;
    }
    shown.textContent = `${number} of ${rows.length} rows`;
  });
  return html("p", { class: "controls" }, html("label", { for: id }, `filter: ${title}`), box, shown);
}

function themed(button) {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const tell = () => button.setAttribute("aria-pressed", String(now() === "dark"));
  button.addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    tell();
  });
  dark.addEventListener("change", tell);
  tell();
}

const VIEWS = { trajectories, posterior, chains, timing, warning };

document.querySelectorAll("table.sortable").forEach(sortable);
themed(document.getElementById("theme"));
document.getElementById("print").addEventListener("click", () => window.print());
for (const [id, spec] of Object.entries(page)) {
  VIEWS[spec.view]({ ...page[spec.of], ...spec }, document.getElementById(id)); // of: the data of another view
}
document.documentElement.dataset.ready = "true";

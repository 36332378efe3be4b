// The posterior parameter by parameter and in pairs: draws against the prior, with what can be read off in words.

/** The density of draws by Gaussian kernels on a grid, on a logarithmic axis where x has one. */
function density(draws, grid, log) {
  const f = log ? Math.log : (x) => x;
  const values = draws.map(f);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const spread = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length) || 1e-12;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 1.34 || spread;
  const width = 0.9 * Math.min(spread, middle) * values.length ** -0.2;
  return grid.map((x) => {
    const at = f(x);
    return values.reduce((sum, v) => sum + Math.exp(-0.5 * ((at - v) / width) ** 2), 0) / (values.length * width);
  });
}

/** Spearman's correlation of two lists. */
function correlation(a, b) {
  const rank = (list) => {
    const order = list.map((_, i) => i).sort((i, j) => list[i] - list[j]);
    const ranks = new Array(list.length);
    order.forEach((at, i) => (ranks[at] = i));
    return ranks;
  };
  const [x, y] = [rank(a), rank(b)];
  const middle = (a.length - 1) / 2;
  let both = 0;
  let one = 0;
  x.forEach((r, i) => {
    both += (r - middle) * (y[i] - middle);
    one += (r - middle) ** 2;
  });
  return one ? both / one : 0;
}

/** Where an axis of a parameter begins and ends: all of the posterior, and most of the prior. */
function reach(parameter) {
  const draws = [...parameter.draws].sort((a, b) => a - b);
  const prior = [...parameter.prior].sort((a, b) => a - b);
  const ends = [draws[0], draws[draws.length - 1]];
  if (prior.length) ends.push(quantile(prior, 0.02), quantile(prior, 0.98));
  return extent([ends], parameter.log);
}

function spaced(low, high, log, num = 120) {
  const [a, b] = log ? [Math.log(low), Math.log(high)] : [low, high];
  return Array.from({ length: num }, (_, i) => {
    const x = a + ((b - a) * i) / (num - 1);
    return log ? Math.exp(x) : x;
  });
}

function posterior(spec, place) {
  const parameters = Object.fromEntries(spec.parameters.map((p) => [p.name, p]));
  const names = spec.parameters.map((p) => p.name);
  const state = { x: spec.pair[0], y: spec.pair[1] };
  const told = html("p", { class: "told", role: "status" });
  const left = html("div", { class: "chart" });
  const right = html("div", { class: "chart" });
  const lists = html("div", { class: "controls" });
  const set = (name) => (value) => {
    state[name] = value;
    renew();
  };
  lists.append(choose("across", names, state.x, set("x")), choose("up", names, state.y, set("y")));

  const label = (p) => withUnit(p.name, p.unit);

  function marginal(width) {
    const p = parameters[state.x];
    const [low, high] = reach(p);
    const grid = spaced(low, high, p.log);
    const curve = density(p.draws, grid, p.log);
    const before = p.prior.length ? density(p.prior, grid, p.log) : grid.map(() => 0);
    const top = Math.max(...curve, ...before) * 1.08;
    const words = `Density of ${p.name}, prior and posterior; ${summary(p)}`;
    const c = chart(width, 300, { low, high, log: p.log, label: label(p) }, { low: 0, high: top, label: "density" }, words);
    band(c, grid, grid.map(() => 0), before, "outer");
    band(c, grid, grid.map(() => 0), curve, "wide");
    line(c, grid, curve, "median");
    const known = [["band", "outer", "prior"], ["line", "median", "posterior"]];
    if (p.truth !== null) {
      upright(c, p.truth, "truth");
      known.push(["line", "truth", "truth"]);
    }
    left.replaceChildren(c.root, legend(known));
  }

  function pair(width) {
    const [p, q] = [parameters[state.x], parameters[state.y]];
    const [a, b] = [reach(p), reach(q)];
    const words = `Draws of ${q.name} against ${p.name}; rank correlation ${plain(correlation(p.draws, q.draws))}`;
    const across = { low: a[0], high: a[1], log: p.log, label: label(p) };
    const c = chart(width, 300, across, { low: b[0], high: b[1], log: q.log, label: label(q) }, words);
    const num = Math.min(p.prior.length, q.prior.length);
    dots(c, p.prior.slice(0, num), q.prior.slice(0, num), "before");
    dots(c, p.draws, q.draws, "after");
    const known = [["point", "before", "prior"], ["point", "after", "posterior"]];
    if (p.truth !== null && q.truth !== null) {
      marker(c, p.truth, q.truth, 3, "truth", "truth");
      known.push(["point", "truth", "truth"]);
    }
    right.replaceChildren(c.root, legend(known));
  }

  function summary(p) {
    const sorted = [...p.draws].sort((a, b) => a - b);
    const unit = p.unit && p.unit !== "1" ? ` ${p.unit}` : "";
    const ends = interval(quantile(sorted, 0.05), quantile(sorted, 0.95));
    return `median ${plain(quantile(sorted, 0.5))}${unit}, 90 % ${ends}`;
  }

  function renew() {
    const [p, q] = [parameters[state.x], parameters[state.y]];
    const both = p === q ? "" : `; rank correlation ${plain(correlation(p.draws, q.draws))}`;
    told.textContent = `${p.name}: ${summary(p)} (${p.meaning}). ${q.name}: ${summary(q)} (${q.meaning})${both}`;
    again.forEach((draw) => draw());
  }

  place.append(lists, html("div", { class: "two" }, left, right), told);
  place.append(unfolded("Rank correlations as a table", () => pairs(spec.parameters)));
  const again = [drawn(left, marginal), drawn(right, pair)];
  renew();
}

/** The pairs of parameters that go together most. */
function pairs(parameters) {
  const rows = [];
  parameters.forEach((p, i) => {
    for (const q of parameters.slice(0, i)) rows.push([q.name, p.name, correlation(q.draws, p.draws)]);
  });
  rows.sort((a, b) => Math.abs(b[2]) - Math.abs(a[2]));
  const shown = rows.slice(0, 40).map(([a, b, r]) => [a, b, r.toFixed(2)]);
  return tabulate("The closest rank correlations of the posterior", ["parameter", "with", "correlation"], shown);
}

/** Chains beside each other: what each drew in its order, and how its ranks among all are spread. */
function chains(spec, place) {
  const parameters = Object.fromEntries(spec.parameters.map((p) => [p.name, p]));
  const state = { name: spec.parameters[0].name };
  const left = html("div", { class: "chart" });
  const right = html("div", { class: "chart" });
  const numbers = [...new Set(spec.chain)];
  const parts = (values) => numbers.map((number) => values.filter((_, i) => spec.chain[i] === number));
  const known = numbers.map((number, k) => ["line", `arm-${k % 7}`, `chain ${number + 1}`]);

  function traces(width) {
    const p = parameters[state.name];
    const [low, high] = extent([p.draws], p.log);
    const each = parts(p.draws);
    const across = { low: 0, high: Math.max(...each.map((x) => x.length)) - 1, label: "draw (thinned)" };
    const up = { low, high, log: p.log, label: withUnit(p.name, p.unit) };
    const c = chart(width, 260, across, up, `Draws of ${p.name} in their order, ${numbers.length} chains`);
    each.forEach((values, k) => line(c, values.map((_, i) => i), values, `thin arm-${k % 7}`));
    left.replaceChildren(c.root, legend(known));
  }

  function ranks(width) {
    const p = parameters[state.name];
    const order = p.draws.map((_, i) => i).sort((i, j) => p.draws[i] - p.draws[j]);
    const rank = new Array(order.length);
    order.forEach((at, i) => (rank[at] = (i + 0.5) / order.length));
    const each = parts(rank).map((values) => {
      const sorted = [...values].sort((a, b) => a - b);
      return [sorted, sorted.map((r, i) => (i + 0.5) / sorted.length - r)];
    });
    const bound = Math.max(0.02, ...each.flatMap(([, apart]) => apart.map(Math.abs))) * 1.1;
    const up = { low: -bound, high: bound, label: "share of the chain below, less the rank" };
    const c = chart(width, 260, { low: 0, high: 1, label: "rank among all draws" }, up, `Ranks of ${p.name} by chain`);
    level(c, 0, "grid");
    each.forEach(([sorted, apart], k) => line(c, sorted, apart, `arm-${k % 7}`));
    right.replaceChildren(c.root);
  }

  const change = (name) => {
    state.name = name;
    again.forEach((draw) => draw());
  };
  const list = choose("parameter", Object.keys(parameters), state.name, change);
  place.append(html("div", { class: "controls" }, list), html("div", { class: "two" }, left, right));
  const again = [drawn(left, traces), drawn(right, ranks)];
}

// When to treat: a slider for the start of treatment moves through what becomes of the patient under every arm.

function timing(spec, place) {
  const groups = Object.keys(spec.groups);
  const curves = Object.keys(spec.curves);
  const measures = { gained: "utility gained", best: "probability of being best", regret: "expected regret" };
  for (const name of Object.keys(spec.outcomes)) measures[name] = name.replaceAll("_", " ");
  const state = { group: groups[0], arm: spec.best.arm, start: spec.best.start, curve: curves[0], measure: "gained" };
  const controls = html("div", { class: "controls" });
  const [fan, against] = [html("div", { class: "chart" }), html("div", { class: "chart" })];
  const told = html("p", { class: "told", role: "status" });
  const table = html("div", {});
  const name = (k) => spec.arms[k].name;
  const row = (arm, start) => spec.groups[state.group].rows.find((r) => r.arm === arm && (arm < 0 || r.start === start));
  const since = (k) => `${plain(spec.starts[k])} h after ${spec.clock}`;

  function build() {
    const set = (key) => (value) => {
      state[key] = key === "arm" ? Number(value) : value;
      renew();
    };
    if (groups.length > 1) controls.append(choose("patient", groups, state.group, set("group")));
    const arms = spec.arms.map((_, k) => [k, name(k)]);
    controls.append(choose("arm", arms, state.arm, set("arm")));
    const kept = curves.map((c) => [c, spec.curves[c].label]);
    if (curves.length > 1) controls.append(choose("curve", kept, state.curve, set("curve")));
    controls.append(choose("against the start", Object.entries(measures), state.measure, set("measure")));
    const slider = slide("start of treatment", spec.starts.length - 1, spec.starts.indexOf(state.start), since, (i) => {
      state.start = spec.starts[i];
      renew();
    });
    controls.append(slider.node);
  }

  function fanned(width) {
    const [free, treated] = [row(-1), row(state.arm, state.start)];
    const about = spec.curves[state.curve];
    const group = spec.groups[state.group];
    if (!about || !free.fan) {
      fan.replaceChildren(html("p", {}, "Curves are kept of single patients: choose one."));
      return;
    }
    const one = free.fan[state.curve];
    const other = treated && treated.fan && treated.fan[state.curve];
    const all = group.rows.filter((r) => r.fan && (r.arm === state.arm || r.arm < 0)).map((r) => r.fan[state.curve]);
    const log = about.log;
    let [low, high] = extent(all.flatMap((f) => [f.q5, f.q95]), log);
    if (log) [low, high] = [Math.max(low / 1.5, high * 1e-5), high * 1.5];
    const words = `${about.label} untreated, and under ${name(state.arm)} from ${plain(state.start)} h on`;
    const time = group.time;
    const up = { low, high, log, label: withUnit(about.label, about.unit) };
    const across = { low: time[0], high: time[time.length - 1], label: "time [h]" };
    const c = chart(width, 340, across, up, words);
    band(c, time, one.q5, one.q95, "outer");
    line(c, time, one.median, "free");
    const known = [["band", "outer", "untreated, 90 %"], ["line", "free", "untreated, median"]];
    if (other) {
      band(c, time, other.q5, other.q95, "wide");
      line(c, time, other.median, "median");
      known.push(["band", "wide", "treated, 90 %"], ["line", "median", "treated, median"]);
      if (treated.from !== null) {
        upright(c, treated.from, "start");
        known.push(["line", "start", "start of treatment"]);
      }
    }
    upright(c, group.now, "now");
    known.push(["line", "now", "decision"]);
    fan.replaceChildren(c.root, legend(known));
  }

  const value = (r) => (state.measure in r ? [r[state.measure], null, null] : r.outcomes[state.measure]);
  const measured = (r) => (state.measure === "gained" ? [r.gained, r.q5, r.q95] : value(r));

  function compared(width) {
    const rows = spec.groups[state.group].rows;
    const free = measured(row(-1));
    const numbers = rows.map(measured);
    const [low, high] = extent([numbers.flat().filter((x) => x !== null)], false);
    const room = 0.05 * (high - low);
    const [first, last] = extent([spec.starts], false);
    const apart = (last - first) * 0.03;
    const across = { low: first - apart, high: last + apart, label: `start since ${spec.clock} [h]` };
    const label = withUnit(measures[state.measure], spec.outcomes[state.measure]);
    const up = { low: low - room, high: high + room, label };
    const c = chart(width, 340, across, up, `${measures[state.measure]} of every arm by the start of treatment`);
    level(c, free[0], "free", state.measure === "gained" ? "" : "untreated");
    const known = spec.outcomes[state.measure] === undefined ? [] : [["line", "free", "untreated"]];
    spec.arms.forEach((arm, k) => {
      const own = rows.filter((r) => r.arm === k).sort((a, b) => a.start - b.start);
      const shift = ((k - (spec.arms.length - 1) / 2) * apart) / spec.arms.length;
      const at = own.map((r) => r.start + shift);
      line(c, at, own.map((r) => measured(r)[0]), `arm-${k % 7}`);
      own.forEach((r, i) => {
        const [mean, bottom, top] = measured(r);
        if (bottom !== null) {
          c.plot.append(svg("path", { d: `M${c.x(at[i])},${c.y(bottom)}V${c.y(top)}`, class: `line whisker arm-${k % 7}` }));
        }
        marker(c, at[i], mean, k, `arm-${k % 7}`, `${arm.name} at ${plain(r.start)} h: ${plain(mean)}`);
      });
      known.push(["line", `arm-${k % 7}`, arm.name]);
    });
    upright(c, state.start, "cross");
    against.replaceChildren(c.root, legend(known));
  }

  function renew() {
    const heads = ["arm", "utility gained", "90 % interval", "P(better)", "P(best)", "regret"];
    const more = Object.keys(spec.outcomes);
    const rows = [-1, ...spec.arms.keys()].flatMap((k) => {
      const r = row(k, state.start);
      if (!r) return [];
      const gained = k < 0 ? ["", "", ""] : [plain(r.gained), interval(r.q5, r.q95), r.better.toFixed(2)];
      const outcomes = more.map((o) => `${plain(r.outcomes[o][0])} (${interval(r.outcomes[o][1], r.outcomes[o][2])})`);
      return [[k < 0 ? "untreated" : name(k), ...gained, r.best.toFixed(2), plain(r.regret), ...outcomes]];
    });
    const units = more.map((o) => withUnit(o.replaceAll("_", " "), spec.outcomes[o]));
    const title = `${state.group}: treatment from ${plain(state.start)} h after ${spec.clock} on; means, 90 % intervals`;
    table.replaceChildren(tabulate(title, [...heads, ...units], rows));
    const r = row(state.arm, state.start);
    told.textContent = r
      ? `${name(state.arm)} from ${plain(state.start)} h on: utility gained ${plain(r.gained)}` +
        ` (90 % ${interval(r.q5, r.q95)}), better than none in ${percent(r.better)} of the draws,` +
        ` expected regret ${plain(r.regret)}`
      : `${name(state.arm)} was not tried at ${plain(state.start)} h`;
    again.forEach((draw) => draw());
  }

  place.append(controls, html("div", { class: "two" }, fan, against), told, table);
  build();
  const again = [drawn(fan, fanned), drawn(against, compared)];
  renew();
}

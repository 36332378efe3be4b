// Curves of a subject over time with their bands, readings, doses and thresholds; a slider or the pointer reads them off.

function trajectories(spec, place) {
  const hours = spec.hours;
  const state = { analyte: Object.keys(spec.analytes)[0], subject: spec.subjects[0], log: true, at: null, others: false };
  Object.assign(state, { wide: true, half: true, outer: true });
  const own = (subject) => spec.series.find((s) => s.subject === subject && s.analyte === state.analyte);
  const area = html("div", { class: "chart" });
  const controls = html("div", { class: "controls" });
  const told = html("p", { class: "told", role: "status" });
  const extra = html("div", {});
  const slot = html("span", { class: "slot" });
  let reader = null;
  let cross = null;
  let view = null;

  /** Another curve: the controls stay, that the focus may. */
  const refresh = () => {
    state.at = null;
    told.textContent = "";
    renew();
    redraw();
  };
  const set = (name, then) => (value) => {
    state[name] = value;
    then();
  };

  function build() {
    const names = Object.entries(spec.analytes).map(([key, about]) => [key, about.label]);
    if (names.length > 1) controls.append(choose("analyte", names, state.analyte, set("analyte", refresh)));
    if (spec.subjects.length > 1) {
      controls.append(choose("subject", spec.subjects, state.subject, set("subject", refresh)));
      controls.append(tick("medians of the others", state.others, set("others", () => redraw())));
    }
    controls.append(tick("50 %", state.half, set("half", () => redraw())));
    controls.append(tick("90 %", state.wide, set("wide", () => redraw())));
    if (spec.outer) controls.append(tick(spec.outer, state.outer, set("outer", () => redraw())));
    controls.append(tick("logarithmic", state.log, set("log", () => redraw())), slot);
    renew();
  }

  function renew() {
    const series = own(state.subject);
    extra.replaceChildren(unfolded("The curve and the readings as tables", tables));
    reader = null;
    slot.replaceChildren();
    if (!series) return;
    const text = (i) => `${plain(series.time[i] / hours)} ${spec.clock}`;
    reader = slide("read off at", series.time.length - 1, series.time.length >> 1, text, readOff);
    slot.append(reader.node);
  }

  function readOff(i) {
    const series = own(state.subject);
    state.at = i;
    const { label, unit } = spec.analytes[state.analyte];
    const parts = [`${label} at ${plain(series.time[i] / hours)} ${spec.clock}: median ${plain(series.median[i])} ${unit}`];
    parts.push(`50 % ${interval(series.q25[i], series.q75[i])}`, `90 % ${interval(series.q5[i], series.q95[i])}`);
    if (series.outer5 && state.outer) parts.push(`${spec.outer} ${interval(series.outer5[i], series.outer95[i])}`);
    told.textContent = parts.join("; ");
    if (!view) return;
    if (cross) cross.remove();
    cross = upright(view, series.time[i] / hours, "cross");
  }

  function draw(width) {
    const series = own(state.subject);
    const about = spec.analytes[state.analyte];
    const readings = spec.readings.filter((r) => r.subject === state.subject && r.analyte === state.analyte);
    const doses = (spec.doses[state.subject] || []).map((dose) => ({ ...dose, time: dose.time / hours }));
    const time = series ? series.time.map((t) => t / hours) : [];
    const seen = readings.map((r) => r.time / hours);
    const [start, end] = extent([time, seen], false);
    const room = 0.012 * (end - start); // for what stands at the ends
    const ends = readings.flatMap((r) => [r.low, r.high]);
    const shown = series ? [series.q5, series.q95] : [];
    let [low, high] = extent([...shown, ends], state.log);
    if (state.log) [low, high] = [Math.max(low / 2, high * 1e-7), high * 2];
    else [low, high] = [0, high * 1.05];
    const label =
      `${about.label} of ${state.subject} over time: ${readings.length} readings` +
      (series ? `, the median peaks at ${plain(Math.max(...series.median))} ${about.unit}` : ", no curve");
    const c = chart(
      width,
      Math.min(440, Math.max(300, width * 0.5)),
      { low: start - room, high: end + room, label: `time [${spec.clock}]` },
      { low, high, log: state.log, label: withUnit(about.label, about.unit) },
      label,
    );
    const known = [];
    if (series && series.outer5 && state.outer) {
      band(c, time, series.outer5, series.outer95, "outer");
      known.push(["band", "outer", spec.outer]);
    }
    if (state.others) {
      for (const other of spec.series) {
        if (other.analyte !== state.analyte || other.subject === state.subject) continue;
        line(c, other.time.map((t) => t / hours), other.median, "other");
      }
      known.push(["line", "other", "medians of the others"]);
    }
    if (series) {
      if (state.wide) band(c, time, series.q5, series.q95, "wide");
      if (state.half) band(c, time, series.q25, series.q75, "half");
      line(c, time, series.median, "median");
      if (state.wide) known.push(["band", "wide", "90 %"]);
      if (state.half) known.push(["band", "half", "50 %"]);
      known.push(["line", "median", "median"]);
    }
    for (const limit of spec.thresholds[state.analyte] || []) level(c, limit, "threshold", `${plain(limit)} ${about.unit}`);
    for (const dose of doses) {
      const at = { transform: `translate(${c.x(dose.time)},${c.bottom})`, class: "dose" };
      if (dose.time < start || dose.time > end) continue;
      c.root.append(svg("g", at, svg("path", { d: "M0,-9l5,9h-10Z" }), svg("title", {}, dose.what)));
    }
    if (doses.length) known.push(["dose", "dose", "dose"]);
    for (const r of readings) mark(c, r, about.unit);
    if (readings.length) known.push(["point", "marker reading", "reading"]);
    if (readings.some((r) => r.cens)) known.push(["point", "marker beyond", "beyond the assay's limit"]);
    [view, cross] = [c, null];
    if (series) {
      pointed(c, time, (i) => {
        reader.move(i);
        readOff(i);
      });
      if (state.at !== null) cross = upright(c, time[state.at], "cross");
    }
    area.replaceChildren(c.root, legend(known));
  }

  function mark(c, r, unit) {
    const time = r.time / hours;
    const limit = r.cens < 0 ? "below " : r.cens > 0 ? "above " : "";
    const title = `${plain(time)} ${spec.clock}: ${limit}${plain(r.value)} ${unit}`;
    if (r.high > r.low) {
      const d = `M${c.x(time)},${c.y(r.low)}V${c.y(r.high)}`;
      c.plot.append(svg("path", { d, class: "line whisker" }));
    }
    marker(c, time, r.value, r.cens < 0 ? 4 : r.cens > 0 ? 2 : 0, r.cens ? "beyond" : "reading", title);
  }

  function tables() {
    const series = own(state.subject);
    const about = spec.analytes[state.analyte];
    const found = html("div", {});
    if (series) {
      const step = Math.max(1, Math.floor(series.time.length / 24));
      const rows = series.time
        .map((_, i) => i)
        .filter((i) => i % step === 0)
        .map((i) => [
          plain(series.time[i] / hours),
          plain(series.median[i]),
          interval(series.q25[i], series.q75[i]),
          interval(series.q5[i], series.q95[i]),
        ]);
      const title = `Curve of ${about.label}, ${state.subject} [${about.unit}]`;
      found.append(tabulate(title, [`time [${spec.clock}]`, "median", "50 % interval", "90 % interval"], rows));
    }
    const rows = spec.readings
      .filter((r) => r.subject === state.subject && r.analyte === state.analyte)
      .map((r) => [plain(r.time / hours), `${r.cens < 0 ? "below " : r.cens > 0 ? "above " : ""}${plain(r.value)}`]);
    const title = `Readings of ${about.label}, ${state.subject}`;
    found.append(tabulate(title, [`time [${spec.clock}]`, withUnit("value", about.unit)], rows));
    return found;
  }

  place.append(controls, area, told, extra);
  build();
  const redraw = drawn(area, draw);
  if (own(state.subject)) readOff(own(state.subject).time.length >> 1);
}

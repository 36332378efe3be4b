// Readings as they arrive: a slider goes from reading to reading, and shows what was foreseen after each.

function warning(spec, place) {
  const patients = Object.keys(spec.patients);
  const state = { patient: patients[0], k: spec.patients[patients[0]].forecasts.length - 1 };
  const controls = html("div", { class: "controls" });
  const slot = html("span", { class: "slot" });
  const told = html("p", { class: "told", role: "status" });
  const [above, below] = [html("div", { class: "chart" }), html("div", { class: "chart" })];
  const extra = html("div", {});
  const own = () => spec.patients[state.patient];

  function renew() {
    const many = own().forecasts;
    state.k = many.length - 1;
    const text = (k) => `${many[k].num} of ${many[many.length - 1].num} readings, until ${plain(many[k].time)} h`;
    const slider = slide("known", many.length - 1, state.k, text, (k) => {
      state.k = k;
      tell();
    });
    slot.replaceChildren(slider.node);
    extra.replaceChildren(unfolded("Every forecast as a table", tables));
  }

  function span() {
    const all = own().forecasts;
    const [start, end] = extent([own().time, ...all.map((f) => f.ahead)], false);
    const room = 0.012 * (end - start); // for what stands at the ends
    return [start - room, end + room];
  }

  function course(width) {
    const [patient, f] = [own(), own().forecasts[state.k]];
    const [low, high] = extent([f.q5.concat(patient.value), f.q95.concat([spec.threshold])], true);
    const [start, end] = span();
    const words = `${spec.label} of ${state.patient}: readings until ${plain(f.time)} h and what was foreseen after them`;
    const label = withUnit(spec.label, spec.unit);
    const up = { low: Math.max(low / 1.5, high * 1e-5), high: high * 2, log: true, label };
    const c = chart(width, 340, { low: start, high: end, label: "time [h]" }, up, words);
    band(c, f.ahead, f.q5, f.q95, "wide");
    band(c, f.ahead, f.q25, f.q75, "half");
    line(c, f.ahead, f.median, "median");
    level(c, spec.threshold, "threshold", `storm: above ${plain(spec.threshold)}`);
    upright(c, f.time, "now");
    patient.time.forEach((t, i) => {
      const known = t <= f.time && f.num > 0;
      const title = `${plain(t)} h: ${plain(patient.value[i])} ${spec.unit}`;
      marker(c, t, patient.value[i], 0, known ? "known" : "reading", title);
    });
    const known = [["band", "wide", "90 %"], ["band", "half", "50 %"], ["line", "median", "median"]];
    known.push(["point", "marker known", "known reading"], ["point", "marker reading", "later reading"]);
    above.replaceChildren(c.root, legend(known));
  }

  function chances(width) {
    const many = own().forecasts;
    const [start, end] = span();
    const words = `The chance of a storm of ${state.patient} after every reading`;
    const up = { low: -0.03, high: 1.03, label: `P(above ${plain(spec.threshold)})` };
    const c = chart(width, 260, { low: start, high: end, label: "time [h]" }, up, words);
    level(c, spec.alarm, "free", "alarm");
    upright(c, many[state.k].time, "now");
    spec.horizons.forEach((_, h) => {
      line(c, many.map((f) => f.time), many.map((f) => f.exceeds[h]), `arm-${h % 7}`);
      for (const f of many) {
        marker(c, f.time, f.exceeds[h], h, `arm-${h % 7}`, `${plain(f.time)} h: ${percent(f.exceeds[h])}`);
      }
    });
    const known = spec.horizons.map((hours, h) => ["line", `arm-${h % 7}`, `within ${plain(hours)} h`]);
    below.replaceChildren(c.root, legend(known));
  }

  const speed = (f) => {
    const hours = plain(Math.LN2 / Math.abs(f.growth[1]));
    return f.growth[1] > 0 ? `doubles in ${hours} h` : `halves in ${hours} h`;
  };

  function tell() {
    const f = own().forecasts[state.k];
    const each = spec.horizons.map((hours, h) => `${percent(f.exceeds[h])} within ${plain(hours)} h`).join(", ");
    const margin = `gain over critical gain ${plain(f.margin[1])} (${interval(f.margin[0], f.margin[2])})`;
    told.textContent = `${state.patient} at ${plain(f.time)} h: storm ${each}; it ${speed(f)}; ${margin}`;
    again.forEach((draw) => draw());
  }

  function tables() {
    const rows = own().forecasts.map((f) => [
      plain(f.time),
      String(f.num),
      ...f.exceeds.map(percent),
      speed(f),
      `${plain(f.margin[1])} (${interval(f.margin[0], f.margin[2])})`,
    ]);
    const heads = ["time [h]", "readings", ...spec.horizons.map((h) => `within ${plain(h)} h`), "now it", "margin"];
    return tabulate(`Forecasts of ${state.patient}`, heads, rows);
  }

  if (patients.length > 1) {
    controls.append(
      choose("patient", patients, state.patient, (label) => {
        state.patient = label;
        renew();
        tell();
      }),
    );
  }
  controls.append(slot);
  renew();
  place.append(controls, told, above, below, extra);
  const again = [drawn(above, course), drawn(below, chances)];
  tell();
}

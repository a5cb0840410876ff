// Charts: lines with bands, a scatter, and one row of dots for each arm. Drawn into a box of 380 x 230 units.
const BOX = { width: 380, height: 230, left: 46, right: 10, top: 8, bottom: 34 };

function ticks(low, high, count = 5) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step) found.push(Math.abs(t) < step * 1e-6 ? 0 : t);
  return found;
}
function logTicks(low, high) {
  const found = [], wide = Math.log10(high / low) > 2.5;
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const m of wide ? [1] : [1, 2, 5]) if (m * 10 ** e >= low && m * 10 ** e <= high) found.push(m * 10 ** e);
  return found;
}
function tickText(value, percent) {
  const shown = percent ? 100 * value : value, size = Math.abs(shown);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return minus(shown.toExponential(0));
  return minus(String(Number(shown.toPrecision(6)))) || "0";
}
// Returns the y range {low, high, log, note}: accuracies, ranks and scales include zero; the note names a low start that is cut off
function range(panel, values) {
  const finite = values.filter((v) => v !== null && v !== undefined);
  let low = Math.min(...finite), high = Math.max(...finite), note = "";
  if (panel.limits) return { low: panel.limits[0], high: panel.limits[1], note };
  if (panel.may_log && low > 0 && high > 30 * low) return { low: low / 1.2, high: high * 1.2, log: true, note: "log scale" };
  if (panel.floor !== undefined && low < panel.floor && high > panel.floor) {
    note = `lowest ${number(low)}, not shown`;
    low = panel.floor;
  }
  if (panel.from_zero) low = Math.min(0, low);
  const room = high - low || Math.abs(high) || 1;
  return { low: panel.from_zero && low === 0 ? 0 : low - 0.04 * room, high: high + 0.06 * room, note };
}
function scale(domain, from, to) {
  const f = domain.log ? Math.log10 : (v) => v;
  const a = f(domain.low), b = f(domain.high);
  return (v) => from + ((f(v) - a) / (b - a || 1)) * (to - from);
}
function frame(x, y, xDomain, yDomain, percent, labels, box = BOX) {
  const right = box.width - box.right, bottom = box.height - box.bottom, parts = [];
  for (const t of yDomain.log ? logTicks(yDomain.low, yDomain.high) : ticks(yDomain.low, yDomain.high)) {
    parts.push(svg("line", { class: t === 0 ? "zero" : "gridline", x1: box.left, x2: right, y1: y(t), y2: y(t) }));
    parts.push(svg("text", { x: box.left - 5, y: y(t) + 4, "text-anchor": "end" }, tickText(t, percent)));
  }
  for (const t of xDomain.log ? logTicks(xDomain.low, xDomain.high) : ticks(xDomain.low, xDomain.high, 4)) {
    parts.push(svg("line", { class: "axis", x1: x(t), x2: x(t), y1: bottom, y2: bottom + 4 }));
    parts.push(svg("text", { x: x(t), y: bottom + 15, "text-anchor": "middle" }, t >= 1000 ? t.toLocaleString("en") : tickText(t, false)));
  }
  parts.push(svg("line", { class: "axis", x1: box.left, x2: right, y1: bottom, y2: bottom }));
  parts.push(svg("text", { x: right, y: box.height - 4, "text-anchor": "end" }, labels.x));
  return parts;
}

let clips = 0;
function lineChart(panel, arms, shown) {
  const series = panel.series.filter((s) => shown.has(s.arm));
  const name = panel.key + (panel.percent ? ", %" : "");
  const caption = el("figcaption", { "aria-live": "polite" });
  if (!series.length) return el("figure", {}, el("h3", {}, name), el("p", { class: "soft" }, "No shown arm has this metric."));
  const steps = series.flatMap((s) => s.x);
  const xDomain = { low: 0, high: Math.max(...steps) || 1 };
  const yDomain = range(panel, series.flatMap((s) => [...s.y, ...(s.lo ?? []), ...(s.hi ?? [])]));
  const x = scale(xDomain, BOX.left, BOX.width - BOX.right), y = scale(yDomain, BOX.height - BOX.bottom, BOX.top);
  const clip = `clip${clips++}`, lines = svg("g", { "clip-path": `url(#${clip})` });
  for (const s of series) if (s.lo) lines.append(svg("path", { class: "band", d: bandPath(s, x, y, yDomain), fill: colour(arms[s.arm]) }));
  for (const s of [...series].sort((a, b) => arms[a.arm].control - arms[b.arm].control)) {
    const arm = arms[s.arm];
    lines.append(svg("path", { class: "line", d: linePath(s, x, y, yDomain), stroke: colour(arm), "stroke-dasharray": s.partial ? "1 4" : dash(arm) }));
    if (s.x.length <= 12) s.x.forEach((step, i) => s.y[i] !== null && lines.append(marker(arm, x(step), y(clamp(s.y[i], yDomain)), false, 3)));
  }
  const cursor = svg("line", { class: "cursor", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
  const grid = [...new Set(steps)].sort((a, b) => a - b);
  const rest = [yDomain.note, series.some((s) => s.lo) ? "band: lowest to highest seed" : "one seed each", series.some((s) => s.partial) ? "dotted: not completed" : ""].filter(Boolean).join("; ");
  let at = null;
  const show = (place) => {
    at = place === null ? null : Math.max(0, Math.min(grid.length - 1, place));
    cursor.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at === null) return caption.replaceChildren(rest);
    cursor.setAttribute("x1", x(grid[at]));
    cursor.setAttribute("x2", x(grid[at]));
    const values = series.map((s) => [s, nearest(s.x, grid[at])]).filter(([s, i]) => s.y[i] !== null)
      .map(([s, i]) => `${arms[s.arm].name} ${number(s.y[i], panel.percent)}` + (s.lo ? ` (${number(s.lo[i], panel.percent)}–${number(s.hi[i], panel.percent)})` : ""));
    caption.replaceChildren(`step ${grid[at].toLocaleString("en")}: ${values.join(" · ")}`);
  };
  const drawing = svg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": `${name}: ${series.map((s) => `${arms[s.arm].name} ends at ${number(last(s.y), panel.percent)}`).join(", ")}` },
    svg("clipPath", { id: clip }, svg("rect", { x: BOX.left - 4, y: BOX.top - 4, width: BOX.width - BOX.left - BOX.right + 8, height: BOX.height - BOX.top - BOX.bottom + 8 })),
    frame(x, y, xDomain, yDomain, panel.percent, { x: "optimiser step" }), lines, cursor);
  show(null);
  const plot = el("div", {
    class: "plot", tabindex: 0, role: "group", "aria-label": `${name}; arrow keys read values`,
    onpointermove: (event) => {
      const area = drawing.getBoundingClientRect(), px = ((event.clientX - area.left) / area.width) * BOX.width;
      show(nearest(grid, xDomain.low + ((px - BOX.left) / (BOX.width - BOX.left - BOX.right)) * (xDomain.high - xDomain.low)));
    },
    onpointerleave: () => show(null), onblur: () => show(null),
    onkeydown: (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (move) { event.preventDefault(); show(at === null ? (move > 0 ? 0 : grid.length - 1) : at + move); }
      if (event.key === "Escape") show(null);
    },
  }, drawing);
  return el("figure", { "data-key": panel.key }, el("h3", {}, name), plot, caption);
}
function clamp(value, domain) {
  return domain.log ? Math.max(value, domain.low) : value;
}
function linePath(s, x, y, domain) {
  let path = "", open = false;
  s.x.forEach((step, i) => {
    if (s.y[i] === null) { open = false; return; }
    path += `${open ? "L" : "M"}${x(step).toFixed(1)} ${y(clamp(s.y[i], domain)).toFixed(1)}`;
    open = true;
  });
  return path;
}
function bandPath(s, x, y, domain) {
  let path = "", run = [];
  const close = () => {
    if (run.length > 1) path += "M" + run.map((i) => `${x(s.x[i]).toFixed(1)} ${y(clamp(s.hi[i], domain)).toFixed(1)}`).join("L") + "L" + run.reverse().map((i) => `${x(s.x[i]).toFixed(1)} ${y(clamp(s.lo[i], domain)).toFixed(1)}`).join("L") + "Z";
    run = [];
  };
  s.x.forEach((_, i) => (s.lo[i] === null || s.hi[i] === null ? close() : run.push(i)));
  close();
  return path;
}
function nearest(sorted, value) {
  let best = 0;
  sorted.forEach((v, i) => { if (Math.abs(v - value) < Math.abs(sorted[best] - value)) best = i; });
  return best;
}
function last(values) {
  return [...values].reverse().find((v) => v !== null) ?? null;
}

// shortens a name to the width of the box; the table shows it in full
function fitting(name, width, after) {
  const room = Math.floor((width - 30) / 6.5) - after.length;
  return (name.length > room ? name.slice(0, room - 1) + "…" : name) + after;
}

// a row for each arm: its seeds as dots, mean and interval as a bar
function forest(group, unit, title) {
  const arms = group.arms.filter((arm) => arm.mean !== null);
  const row = 46, box = { ...BOX, left: 12, right: 14, top: 4, width: innerWidth < 640 ? 380 : 900 };
  box.height = box.top + row * arms.length + box.bottom;
  const values = arms.flatMap((arm) => [...arm.values.map((v) => v[1]).filter((v) => v !== null), arm.mean - (arm.half ?? 0), arm.mean + (arm.half ?? 0)]);
  const domain = range({}, unit.percent ? values.map((v) => Math.max(0, Math.min(1, v))) : values);
  const x = scale(domain, box.left, box.width - box.right), bottom = box.height - box.bottom, parts = [];
  const inside = (v) => Math.max(box.left, Math.min(box.width - box.right, x(v)));
  for (const t of ticks(domain.low, domain.high)) {
    parts.push(svg("line", { class: "gridline", x1: x(t), x2: x(t), y1: box.top, y2: bottom }));
    parts.push(svg("text", { x: x(t), y: bottom + 15, "text-anchor": "middle" }, tickText(t, unit.percent)));
  }
  const control = arms.find((arm) => arm.control);
  if (control) parts.push(svg("line", { class: "cursor", x1: x(control.mean), x2: x(control.mean), y1: box.top, y2: bottom }));
  arms.forEach((arm, i) => {
    const y = box.top + row * i + 32;
    parts.push(svg("text", { x: box.left, y: y - 13, style: "fill: var(--ink)" }, fitting(arm.name, box.width, arm.control ? " (control)" : arm.mostly_collapsed ? " (mostly collapsed)" : "")));
    if (arm.half !== null) parts.push(svg("line", { x1: inside(arm.mean - arm.half), x2: inside(arm.mean + arm.half), y1: y, y2: y, stroke: colour(arm), "stroke-width": 6, opacity: 0.25 }));
    parts.push(svg("line", { x1: x(arm.mean), x2: x(arm.mean), y1: y - 8, y2: y + 8, stroke: colour(arm), "stroke-width": 2.5 }));
    for (const [seed, value] of arm.values) if (value !== null) {
      const dot = marker(arm, x(value), y, true, 3.5);
      dot.append(svg("title", {}, `${arm.name}, seed ${seed}: ${number(value, unit.percent)}`));
      parts.push(dot);
    }
  });
  parts.push(svg("text", { x: box.width - box.right, y: box.height - 4, "text-anchor": "end" }, title));
  return el("figure", { class: "wide" },
    svg("svg", { viewBox: `0 0 ${box.width} ${box.height}`, role: "img", "aria-label": `${title} of every arm, in the order of the ranking; the table has the numbers` }, parts),
    el("figcaption", {}, "Each mark is a seed, the line is their mean and the bar its 95 % t interval. The dashed line is the mean of the control. The axis does not start at zero."));
}

// a single chart is larger than a panel, except on a phone
function wider(height) {
  return innerWidth < 640 ? { ...BOX, height: 250 } : { ...BOX, width: 560, height };
}
function scatter(group, unit, shown) {
  const column = group.columns.findIndex((c) => c.key === group.rank_key);
  const points = group.runs.filter((run) => shown.has(run.arm) && typeof run.values[0] === "number" && typeof run.values[column] === "number");
  if (column < 0 || !points.length) return el("p", { class: "soft" }, "No shown run has both an effective rank and the metric.");
  const box = wider(330);
  const xDomain = range({}, points.map((run) => run.values[column]));
  const yDomain = range({}, points.map((run) => run.values[0]));
  const x = scale(xDomain, box.left, box.width - box.right), y = scale(yDomain, box.height - box.bottom, box.top);
  const marks = points.map((run) => {
    const mark = marker(group.arms[run.arm], x(run.values[column]), y(run.values[0]), run.collapsed, 5);
    mark.append(svg("title", {}, `${group.arms[run.arm].name}, seed ${run.seed}: ${number(run.values[0], unit.percent)} at rank ${number(run.values[column])}; ${run.verdict || run.state}`));
    return mark;
  });
  return el("figure", { class: "square" }, el("h3", {}, `${group.metric.name}${unit.percent ? ", %" : ""} against effective rank`),
    svg("svg", { viewBox: `0 0 ${box.width} ${box.height}`, role: "img", "aria-label": `${group.metric.name} against ${group.rank_key} of ${points.length} runs; the table of runs has the numbers` },
      frame(x, y, xDomain, yDomain, unit.percent, { x: group.rank_key }, box), marks),
    el("figcaption", {}, "Each mark is a run; it is hollow if the verdict is a collapse or another failure. A high rank is no goal by itself. The axes do not start at zero."));
}

// the arm as the other charts draw it; an arm that is not in the ranking gets its own colour
function tunedArm(tuning, group, i) {
  const name = tuning.arms[i].arm;
  return group.arms.find((a) => a.name === name) ?? { name, colour: group.arms.length + i, control: false };
}
// mean over the tuning seeds against the weight, one line for each arm; a ring marks the chosen weight
function tuningChart(tuning, group) {
  const found = tuning.arms.map((t, i) => [tunedArm(tuning, group, i), t.candidates.filter((c) => c.mean !== null)]).filter(([, tried]) => tried.length);
  if (!found.length) return "";
  const box = wider(300), all = found.flatMap(([, tried]) => tried);
  const weights = all.map((c) => c.weight), low = Math.min(...weights), high = Math.max(...weights);
  const xDomain = { low: low / 1.5, high: high * 1.5, log: true }, yDomain = range({}, all.flatMap((c) => c.values.map((v) => v[1])));
  const x = scale(xDomain, box.left, box.width - box.right), y = scale(yDomain, box.height - box.bottom, box.top), parts = [];
  for (const [own, tried] of found) {
    const t = tuning.arms.find((one) => one.arm === own.name);
    parts.push(svg("path", { class: "line", stroke: colour(own), "stroke-dasharray": dash(own), d: tried.map((c, i) => `${i ? "L" : "M"}${x(c.weight).toFixed(1)} ${y(c.mean).toFixed(1)}`).join("") }));
    for (const c of tried) {
      for (const [, value] of c.values) if (value !== null) parts.push(svg("circle", { cx: x(c.weight), cy: y(value), r: 1.5, fill: colour(own) }));
      const mark = marker(own, x(c.weight), y(c.mean), c.bad > 0, 4);
      mark.append(svg("title", {}, `${own.name}, weight ${c.weight}: ${number(c.mean, tuning.percent)}` + (c.bad ? `; ${c.bad} of ${c.n} collapsed or failed` : "")));
      parts.push(mark);
      if (c.weight === t.chosen) parts.push(svg("circle", { cx: x(c.weight), cy: y(c.mean), r: 8, fill: "none", stroke: colour(own), "stroke-width": 1.5 }));
    }
  }
  const title = `${tuning.name}${tuning.percent ? ", %" : ""}`;
  return el("figure", { class: "square", id: "tuning-plot" }, el("h3", {}, `${title} against the weight`),
    svg("svg", { viewBox: `0 0 ${box.width} ${box.height}`, role: "img", "aria-label": `${title} against the weight of every arm; the table has the numbers` },
      frame(x, y, xDomain, yDomain, tuning.percent, { x: "weight, log scale" }, box), parts),
    el("figcaption", {}, `Marks are means over seeds ${tuning.seeds.join(", ")}, dots are single seeds. A mark is hollow if a run collapsed or failed. A ring marks the chosen weight. The y axis does not start at zero.`));
}

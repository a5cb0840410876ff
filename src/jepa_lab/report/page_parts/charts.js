// Line charts, drawn into a box of 380 x 230 units.
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
  const every = Math.ceil(found.length / 8);
  return found.filter((_, i) => i % every === 0);
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
  if (panel.ceiling !== undefined && high > panel.ceiling && low < panel.ceiling) high = panel.ceiling;
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
// A chart of the shown arms. A series of `panel` names its arm by number and has x and y, and where they are known lo and
// hi (a band), `start` (the level before training) or, in place of points, `level`. `panel.bounds` are limits of rules,
// `panel.marks` are numbered steps. `legend` is a node below the title.
function lineChart(panel, arms, shown, legend = "") {
  const series = panel.series.filter((s) => shown.has(s.arm)), curves = series.filter((s) => s.level === undefined);
  const name = panel.title ?? panel.key + (panel.percent ? ", %" : "");
  const title = el(panel.heading ?? "h3", {}, name, panel.unit ? el("span", { class: "soft" }, ` ${panel.unit}`) : "");
  const readout = el("p", { class: "readout", "aria-live": "polite" }), about = el("p", { class: "about" }, panel.about ?? "");
  const caption = el("figcaption", {}, about, readout);  // the readout takes the place of the words
  if (!curves.length) return el("figure", { "data-key": panel.key }, title, legend, el("p", { class: "soft" }, `No shown ${panel.lines ? "line" : "arm has this metric"}.`), caption);
  const bounds = (panel.bounds ?? []).filter((b) => b.arms.some((i) => shown.has(i)));
  const steps = curves.flatMap((s) => s.x), logSteps = Boolean(panel.log_steps);
  const xDomain = { low: logSteps ? Math.min(...steps) : 0, high: Math.max(...steps) || 1, log: logSteps };
  const yDomain = range(panel, [...series.flatMap((s) => [...(s.y ?? []), ...(s.lo ?? []), ...(s.hi ?? []), s.start, s.level]), ...bounds.map((b) => b.y)]);
  const x = scale(xDomain, BOX.left, BOX.width - BOX.right), y = scale(yDomain, BOX.height - BOX.bottom, BOX.top);
  const clip = `clip${clips++}`, lines = svg("g", { "clip-path": `url(#${clip})` });
  const across = (at, attributes) => svg("line", { x1: BOX.left, x2: BOX.width - BOX.right, y1: y(at), y2: y(at), ...attributes });
  for (const b of bounds) lines.append(boundary(b, y, across));
  for (const s of curves) if (s.lo) lines.append(svg("path", { class: "band", d: bandPath(s, x, y, yDomain), fill: colour(arms[s.arm]) }));
  for (const s of [...series].sort((a, b) => arms[a.arm].control - arms[b.arm].control)) {
    const arm = arms[s.arm];
    for (const at of [s.level, s.start]) if (typeof at === "number") lines.append(across(at, { class: "level", stroke: colour(arm) }));
    if (s.level !== undefined) continue;
    lines.append(svg("path", { class: "line", d: linePath(s, x, y, yDomain), stroke: colour(arm), "stroke-dasharray": s.partial ? "1 4" : dash(arm) }));
    if (s.x.length <= 12) s.x.forEach((step, i) => s.y[i] !== null && lines.append(marker(arm, x(step), y(clamp(s.y[i], yDomain)), false, 3)));
  }
  lines.append(...bounds.map((b) => boundaryName(b, y)));
  const cursor = svg("line", { class: "cursor", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
  const grid = [...new Set(steps)].sort((a, b) => a - b);
  const notes = panel.notes ?? [panel.series.some((s) => s.lo) ? "band: lowest to highest seed" : "one seed each", series.some((s) => s.partial) ? "dotted: not completed" : ""];
  const rest = [yDomain.note, ...notes].filter(Boolean).join("; ");
  about.append(rest && panel.about ? ` (${rest})` : rest);
  let at = null;
  const show = (place) => {
    at = place === null ? null : Math.max(0, Math.min(grid.length - 1, place));
    cursor.setAttribute("visibility", at === null ? "hidden" : "visible");
    caption.classList.toggle("reading", at !== null);
    if (at === null) return readout.replaceChildren();
    cursor.setAttribute("x1", x(grid[at]));
    cursor.setAttribute("x2", x(grid[at]));
    const values = curves.map((s) => [s, nearest(s.x, grid[at])]).filter(([s, i]) => s.y[i] !== null)
      .map(([s, i]) => `${arms[s.arm].name} ${number(s.y[i], panel.percent)}` + (s.lo ? ` (${number(s.lo[i], panel.percent)}–${number(s.hi[i], panel.percent)})` : ""));
    readout.replaceChildren(`${panel.x ?? "step"} ${grid[at] % 1 ? number(grid[at]) : grid[at].toLocaleString("en")}: ${values.join(" · ")}`);
  };
  const drawing = svg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": `${name}: ${curves.map((s) => `${arms[s.arm].name} ends at ${number(last(s.y), panel.percent)}`).join(", ")}` },
    svg("clipPath", { id: clip }, svg("rect", { x: BOX.left - 4, y: BOX.top - 4, width: BOX.width - BOX.left - BOX.right + 8, height: BOX.height - BOX.top - BOX.bottom + 8 })),
    frame(x, y, xDomain, yDomain, panel.percent, { x: panel.x ?? "optimiser step" }), lines, vertical(panel, x, xDomain), cursor);
  show(null);
  const point = (event) => {
    const area = drawing.getBoundingClientRect(), px = ((event.clientX - area.left) / area.width) * BOX.width;
    show(nearest(grid.map(x), px));
  };
  const plot = el("div", {
    class: "plot", tabindex: 0, role: "group", "aria-label": `${name}; arrow keys read values`,
    onpointermove: point, onpointerdown: point, onpointerleave: () => show(null), onblur: () => show(null),
    onkeydown: (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (move) { event.preventDefault(); show(at === null ? (move > 0 ? 0 : grid.length - 1) : at + move); }
      if (event.key === "Escape") show(null);
    },
  }, drawing);
  return el("figure", { "data-key": panel.key }, title, legend, plot, caption);
}
// the limit of a rule: a line, and a tint below it, where the rule is violated
function boundary(bound, y, across) {
  const bottom = BOX.height - BOX.bottom, at = Math.max(BOX.top, Math.min(bottom, y(bound.y)));
  return svg("g", { "data-limit": bound.y },
    svg("rect", { class: "beyond", x: BOX.left, width: BOX.width - BOX.left - BOX.right, y: at, height: bottom - at }), across(bound.y, { class: "limit" }));
}
function boundaryName(bound, y) {
  const at = Math.max(BOX.top, Math.min(BOX.height - BOX.bottom, y(bound.y)));
  return svg("text", { class: "limit-name", x: BOX.width - BOX.right - 2, y: at < BOX.top + 25 ? at + 11 : at - 3, "text-anchor": "end" }, bound.name);
}
// numbered lines at the steps of first violations, and a dotted one at the first value that is not finite
function vertical(panel, x, xDomain) {
  const parts = [], placed = [];
  for (const mark of (panel.marks ?? []).filter((m) => m.x >= xDomain.low && m.x <= xDomain.high)) {
    const at = x(mark.x), close = placed.find((p) => Math.abs(p.at - at) < 16);
    parts.push(svg("line", { class: mark.own ? "mark own" : "mark", x1: at, x2: at, y1: BOX.top, y2: BOX.height - BOX.bottom }));
    if (close) { close.numbers.push(mark.n); close.texts.push(mark.text); }
    else placed.push({ at, numbers: [mark.n], texts: [mark.text] });
  }
  for (const { at, numbers, texts } of placed) {
    const name = numbers.length > 1 ? `${numbers[0]}–${numbers.at(-1)}` : String(numbers[0]), width = 7 + 6.5 * name.length;
    parts.push(svg("g", { class: "flag" }, svg("title", {}, texts.join("\n")),
      svg("rect", { class: "mark-badge", x: at - width / 2, y: BOX.top - 6, width, height: 14, rx: 7 }),
      svg("text", { class: "mark-name", x: at, y: BOX.top + 5, "text-anchor": "middle" }, name)));
  }
  if (typeof panel.broken === "number") parts.push(svg("line", { class: "broken", x1: x(panel.broken), x2: x(panel.broken), y1: BOX.top, y2: BOX.height - BOX.bottom }));
  return parts;
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

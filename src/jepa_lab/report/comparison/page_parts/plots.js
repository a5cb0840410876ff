// Charts of a comparison alone: a row of dots for each arm, a scatter, and the tuning of the weights.
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

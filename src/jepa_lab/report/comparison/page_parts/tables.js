// A table whose headers sort it. columns: {name, number, value(row) to sort by, cell(row) to show, title}
function sortable(caption, columns, rows, { id, order = null, rowClass = () => "" } = {}) {
  let sorted = order ?? { column: -1, down: false };
  const long = rows.some((row) => String(columns[0].value(row)).length > 24);
  const body = el("tbody"), status = el("span", { class: "cap", "aria-live": "polite" }, caption);
  const heads = columns.map((column, i) => el("th", { scope: "col", class: classes(column, i) },
    el("button", { type: "button", title: column.title, onclick: () => sort(i) }, breakable(column.name, /(?<=[ /]|[a-z]{4}_)/), el("span", { class: "arrow", "aria-hidden": "true" }))));
  let current = rows;
  function sort(i) {
    // the first click sorts numbers from the largest and texts from A
    sorted = { column: i, down: sorted.column === i ? !sorted.down : Boolean(columns[i].number) };
    draw();
  }
  function draw() {
    heads.forEach((head, i) => {
      if (i === sorted.column) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".arrow").textContent = i === sorted.column ? (sorted.down ? "↓" : "↑") : "";
    });
    const ordered = sorted.column < 0 ? current : inOrder(current, columns[sorted.column], sorted.down);
    body.replaceChildren(...ordered.map((row) => el("tr", { class: rowClass(row) },
      columns.map((column, i) => el(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: classes(column, i) }, column.cell ? column.cell(row) : String(column.value(row) ?? ""))))));
  }
  draw();
  return {
    node: el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": id.replace("-", " ") }, el("table", { id, class: long && "long" }, el("caption", {}, status), el("thead", {}, el("tr", {}, heads)), body)),
    show(subset, text) { current = subset; status.replaceChildren(text); draw(); },
  };
}
function classes(column, i) {
  return [i === 0 ? "first" : "", column.number ? "num" : ""].join(" ").trim() || null;
}
// missing values come last in both directions
function inOrder(rows, column, down) {
  const missing = (v) => v === null || v === undefined || v === "" || Number.isNaN(v) || (column.number && typeof v !== "number");
  return rows.map((row) => [column.value(row), row]).sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return down ? -order : order;
  }).map(([, row]) => row);
}

function rankingTable(group) {
  const unit = group.metric;
  const columns = [
    { name: "arm", value: (arm) => arm.name, cell: (arm) => [swatch(arm), " ", breakable(arm.name), arm.control ? " (control)" : ""] },
    { name: "rank", number: true, value: (arm) => arm.rank, cell: (arm) => arm.rank === null ? "–" : String(arm.rank) },
    { name: unit.percent ? "mean, %" : "mean", number: true, title: "mean over seeds ± half of its 95 % t interval", value: (arm) => arm.mean,
      cell: (arm) => arm.mean === null ? "" : number(arm.mean, unit.percent) + (arm.half === null ? "" : ` ± ${number(arm.half, unit.percent)}`) },
    { name: "difference", number: true, title: "to the control, paired by seed, with its 95 % bootstrap interval", value: (arm) => arm.difference,
      cell: (arm) => arm.difference === null ? "" : signed(arm.difference, unit.percent) + (arm.interval ? ` [${number(arm.interval[0], unit.percent)}, ${number(arm.interval[1], unit.percent)}]` : "") },
    { name: "conclusion", value: (arm) => arm.conclusion, cell: (arm) => el("span", { class: `word ${tone(arm.conclusion)}` }, arm.conclusion) },
    { name: "p\u00a0(Holm)", number: true, title: "two-sided sign-flip test over seeds, adjusted over the arms", value: (arm) => arm.p_holm, cell: (arm) => pText(arm.p_holm) },
    { name: "sd", number: true, title: "standard deviation over seeds", value: (arm) => arm.sd, cell: (arm) => number(arm.sd, unit.percent) },
    { name: "seeds", number: true, value: (arm) => arm.n },
    { name: "verdicts", value: (arm) => arm.collapsed, cell: (arm) => counts(arm.verdicts, arm.others) },
  ];
  const better = group.metric.direction === "max" ? "higher is better" : "lower is better";
  return sortable(`by ${group.metric.name} (${group.metric.key}), ${better}; arms that mostly collapsed come last`, columns, group.arms,
    { id: "ranking-table", rowClass: (arm) => (arm.mostly_collapsed ? "collapsed" : arm.rank === null ? "out" : "") }).node;
}
function counts(...tables) {
  return tables.flatMap((t) => Object.entries(t)).map(([name, count]) => `${count} ${name}`).join(", ");
}

function runsTable(group) {
  const arm = (run) => group.arms[run.arm];
  const columns = [
    { name: "arm", value: (run) => arm(run).name, cell: (run) => breakable(arm(run).name) },
    { name: "seed", number: true, value: (run) => run.seed },
    { name: "run", value: (run) => run.run, cell: (run) => el("span", { class: "together" }, el("a", { href: link(run.folder) + "/" }, run.run), run.page ? [" · ", el("a", { href: link(run.page) }, "page")] : "") },
    { name: "more", value: (run) => run.reason, cell: more },
    { name: "state", value: (run) => run.state, cell: (run) => el("span", { class: run.state === "completed" ? "" : `word ${run.state === "running" ? "note" : "bad"}` }, run.state) },
    { name: "verdict", value: (run) => run.verdict, cell: (run) => [el("span", { class: verdictTone(run) && `word fold ${verdictTone(run)}` }, breakable(run.verdict, /(?<=_)/)), run.best ? el("span", { class: "soft together" }, " best of its arm") : ""] },
    ...group.columns.map((c, i) => ({ name: c.name + (c.percent ? ", %" : ""), title: c.key, number: true, value: (run) => run.values[i], cell: (run) => number(run.values[i], c.percent, c.digits) })),
    { name: "time", number: true, value: (run) => run.wall_s, cell: (run) => duration(run.wall_s) },
  ];
  const table = sortable("", columns, group.runs, { id: "runs-table", rowClass: (run) => (run.collapsed ? "collapsed" : "") });
  const text = el("input", { type: "search", id: "filter-text", placeholder: "words", oninput: apply });
  const pick = (id, name, values) => el("label", {}, name, el("select", { id, onchange: apply }, el("option", { value: "" }, "all"), [...new Set(values)].sort().map((v) => el("option", {}, v))));
  const filters = el("div", { class: "filters", role: "search" }, el("label", {}, "find", text),
    pick("filter-arm", "arm", group.arms.map((a) => a.name)), pick("filter-state", "state", group.runs.map((r) => r.state)),
    pick("filter-verdict", "verdict", group.runs.map((r) => r.verdict.split(" ")[0]).filter(Boolean)));
  const chosen = (id) => filters.querySelector("#" + id).value;
  function apply() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const left = group.runs.filter((run) => {
      const all = [arm(run).name, run.seed, run.state, run.verdict, run.run, run.reason, run.command].join(" ").toLowerCase();
      return words.every((w) => all.includes(w)) && (!chosen("filter-arm") || arm(run).name === chosen("filter-arm")) &&
        (!chosen("filter-state") || run.state === chosen("filter-state")) && (!chosen("filter-verdict") || run.verdict.split(" ")[0] === chosen("filter-verdict"));
    });
    table.show(left, `${left.length} of ${group.runs.length} runs`);
  }
  apply();
  return [filters, table.node];
}
function link(path) {
  return path.split("/").map(encodeURIComponent).join("/").replace(/^([A-Za-z])%3A/, "file:///$1:");
}
function more(run) {
  if (!run.command && !run.reason && !run.why.length) return "";
  return el("details", {}, el("summary", {}, run.why.length ? "why, command" : "command"), run.reason ? el("p", {}, run.reason) : "",
    run.why.length ? [el("p", {}, "first violations"), el("ul", {}, run.why.map((line) => el("li", {}, line)))] : "",
    run.command ? copyable(el("pre", {}, run.command)) : el("p", {}, "the run stored no command line"));
}

function gridTable(group) {
  const [head, ...rows] = group.grid;
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "grid table" }, el("table", { id: "grid-table" }, el("caption", {}, el("span", { class: "cap" }, "state of every seed; missing and failed runs are red")),
    el("thead", {}, el("tr", {}, head.map((h, i) => el("th", { scope: "col", class: i ? null : "first" }, i ? `seed ${h}` : h)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => i ? el("td", { class: cell === "completed" ? "ok" : cell === "running" ? "word note" : "hole" }, cell === "completed" ? "✓" : cell) : el("th", { scope: "row", class: "first" }, breakable(cell))))))));
}
function settingsTable(group) {
  const { keys, values } = group.settings;
  if (!keys.length) return el("p", { class: "soft" }, "Only the seed differs.");
  const columns = [{ name: "setting", value: (i) => keys[i], cell: (i) => breakable(keys[i]) }, ...group.arms.map((arm, j) => ({ name: arm.name, value: (i) => values[j][i] }))];
  return sortable("settings that differ between the configurations, except the seed", columns, keys.map((_, i) => i), { id: "settings-table" }).node;
}
function conflictTable(group) {
  if (!group.conflicts.length) return el("p", { class: "soft" }, "No run logged the gradients of its terms.");
  const columns = [
    { name: "arm", value: (row) => group.arms[row.arm].name, cell: (row) => breakable(group.arms[row.arm].name) },
    { name: "term", value: (row) => row.term },
    { name: "mean norm", number: true, value: (row) => row.norm, cell: (row) => number(row.norm) },
    { name: "share, %", number: true, title: "of the sum of the terms' mean norms", value: (row) => row.share, cell: (row) => number(row.share, true) },
    { name: "mean cosine", number: true, title: "with the gradient of the prediction", value: (row) => row.cosine, cell: (row) => number(row.cosine) },
    { name: "against the prediction, %", number: true, title: "share of the measurements with a negative cosine", value: (row) => row.against, cell: (row) => number(row.against, true, 0) },
    { name: "measurements", number: true, value: (row) => row.looks || null },
  ];
  return sortable("gradient of each weighted term on the encoder's parameters, over all measurements and seeds", columns, group.conflicts, { id: "gradient-table" }).node;
}

function tuningTable(tuning, group) {
  const weight = (value) => (value === null ? "none" : tickText(value, false));
  const tried = (arm) => el("div", { class: "tried" }, arm.candidates.flatMap((c, i) => [
    i ? "; " : "", el("span", { class: "together" }, `${weight(c.weight)}: `, el(c.weight === arm.chosen ? "strong" : "span", {}, c.mean === null ? "nothing" : number(c.mean, tuning.percent))),
    c.bad ? ` (${c.bad} of ${c.n} collapsed or failed)` : ""]));
  const means = (arm) => arm.candidates.map((c) => c.mean).filter((m) => m !== null);
  const spread = (arm) => (means(arm).length > 1 ? Math.max(...means(arm)) - Math.min(...means(arm)) : null);
  const columns = [
    { name: "arm", value: (arm) => arm.arm, cell: (arm) => [swatch(tunedArm(tuning, group, tuning.arms.indexOf(arm))), " ", breakable(arm.arm)] },
    { name: "weight taken", number: true, title: "the fewest collapsed or failed runs first, then the highest mean", value: (arm) => arm.chosen, cell: (arm) => weight(arm.chosen) },
    { name: "by default", number: true, value: (arm) => arm.default, cell: (arm) => weight(arm.default) },
    { name: "at an end", title: "whether no weight beyond the chosen one was tried", value: (arm) => arm.end, cell: (arm) => (arm.end ? el("span", { class: "word note" }, `the ${arm.end} tried`) : "") },
    { name: "best less worst" + (tuning.percent ? ", points" : ""), number: true, value: spread, cell: (arm) => number(spread(arm), tuning.percent) },
    { name: `weight: mean ${tuning.name}${tuning.percent ? ", %" : ""}`, value: (arm) => arm.candidates.length, cell: tried },
  ];
  return sortable(`every arm's weights, tried with seed${tuning.seeds.length > 1 ? "s" : ""} ${tuning.seeds.join(", ")}, which are not reported`, columns, tuning.arms, { id: "tuning-table" }).node;
}

function pText(value) {
  return value === null ? "" : value < 0.001 ? "<0.001" : value.toFixed(3);
}
function tone(conclusion) {
  return { better: "good", worse: "bad", control: "", "no difference shown": "note", "not comparable": "note", "no result": "bad" }[conclusion] ?? "";
}
function verdictTone(run) {
  return run.collapsed ? "bad" : run.verdict.startsWith("healthy") ? "good" : run.verdict ? "note" : "";
}

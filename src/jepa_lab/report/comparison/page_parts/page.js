// The page shows one group of runs at a time. Arms are shown or hidden in all charts at once.
const SHOWN_AT_FIRST = 8;
const app = document.getElementById("app");
let group = data.groups[0], shown = firstShown();

function firstShown() {
  const order = group.arms.map((_, i) => i);
  const control = group.arms.findIndex((arm) => arm.control);
  const chosen = new Set(control < 0 ? [] : [control]);
  for (const i of order) if (chosen.size < SHOWN_AT_FIRST) chosen.add(i);
  return chosen;
}
function groupSelect() {
  if (data.groups.length < 2) return "";
  return el("select", { id: "group", "aria-label": "group of runs", onchange: (event) => {
    group = data.groups[Number(event.target.value)];
    shown = firstShown();
    render();
    document.getElementById("group").focus();
  } }, data.groups.map((g, i) => el("option", { value: i, selected: g === group }, g.name)));
}
function section(id, title, ...content) {
  return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), content);
}
function panels(name) {
  return group.panels.filter((panel) => panel.section === name).map((panel) => lineChart(panel, group.arms, shown));
}
function drawCharts() {
  for (const name of ["learning", "rank", "gradients"]) {
    const place = document.getElementById(`panels-${name}`), drawn = panels(name);
    place.replaceChildren(...(drawn.length ? drawn : [el("p", { class: "soft" }, "Nothing was logged.")]));
  }
  document.getElementById("scatter-plot").replaceChildren(scatter(group, group.metric, shown));
}
function legend() {
  const boxes = group.arms.map((arm, i) => el("label", {}, el("input", { type: "checkbox", checked: shown.has(i), onchange: (event) => {
    if (event.target.checked) shown.add(i); else shown.delete(i);
    drawCharts();
  } }), swatch(arm), arm.name));
  return el("fieldset", { class: "legend", id: "legend", "aria-label": "arms shown in the charts" }, boxes);
}
function render() {
  const names = { ranking: "Ranking", learning: "Learning curves", rank: "Rank and scale", scatter: `${group.metric.percent ? "Accuracy" : "Result"} and rank`, gradients: "Gradients", settings: "What differs", ...(data.tunings.length ? { tuning: "Tuning" } : {}), ...(data.about.length ? { about: "Before these runs" } : {}), missing: "Missing", runs: "Runs" };
  const missing = [...group.missing, ...data.notes];
  const conclusion = group.arms.some((a) => a.conclusion === "better") ? "good" : group.arms.some((a) => a.conclusion === "worse") ? "bad" : "note";
  app.replaceChildren(
    el("header", { class: "top" }, el("h1", {}, document.title), el("div", { class: "tools" }, groupSelect(), themeButton())),
    el("main", {},
      el("div", { class: `verdict ${conclusion}`, id: "verdict" }, group.verdict.map((line) => el("p", {}, line))),
      el("nav", { "aria-label": "sections" }, Object.entries(names).map(([id, name]) => el("a", { href: `#${id}` }, name))),
      section("ranking", names.ranking, rankingTable(group), group.arms.some((a) => a.mean !== null) ? forest(group, group.metric, group.metric.name + (group.metric.percent ? ", %" : "")) : "",
        group.references.length ? el("div", { id: "references" }, el("h3", {}, "References: bounds, neither ranked nor tested"), el("ul", {}, group.references.map((line) => el("li", {}, line)))) : "",
        group.parameters.map((line) => el("p", { class: "soft" }, line))),
      el("div", {}, legend(),
        section("learning", names.learning, el("p", { class: "soft" }, "Means over the completed seeds of an arm. To read values, move over a chart, or focus it and use the arrow keys. The boxes above hide and show arms. Curves show only some of the logged steps."), el("div", { class: "panels", id: "panels-learning" })),
        section("rank", names.rank, el("p", { class: "soft" }, "Effective rank and standard deviation of the features on the fixed validation set: a rank that falls while the scale falls is a collapse."), el("div", { class: "panels", id: "panels-rank" })),
        section("scatter", names.scatter, el("div", { id: "scatter-plot" })),
        section("gradients", names.gradients, el("p", { class: "soft" }, "The gradient of each term of the loss on the encoder. A negative cosine means that the term works against the prediction."), conflictTable(group), el("div", { class: "panels", id: "panels-gradients" }))),
      section("settings", names.settings, settingsTable(group)),
      data.tunings.length ? section("tuning", "Tuning: how the weights were chosen", data.tunings.map((t) => [tuningTable(t, group), tuningChart(t, group)])) : "",
      data.about.length ? section("about", "What came before these runs", el("ul", {}, data.about.map((line) => el("li", {}, line)))) : "",
      section("missing", "Missing, failed, left out", gridTable(group), missing.length ? el("ul", {}, missing.map((line) => el("li", {}, line))) : el("p", { class: "soft" }, "Every arm has every seed, and every run completed.")),
      section("runs", names.runs, runsTable(group))));
  drawCharts();
}

render();

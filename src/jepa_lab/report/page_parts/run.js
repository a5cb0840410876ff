// The page of a run: charts with a button for each line, and buttons that copy the commands.
function chart(panel) {
  const shown = new Set(panel.lines.map((_, i) => i));
  const legend = el("div", { class: "lines", role: "group", "aria-label": `lines of ${panel.title}` }, panel.lines.map((line, i) => {
    const button = el("button", { type: "button", "aria-pressed": "true", onclick: () => {
      if (shown.has(i)) shown.delete(i); else shown.add(i);
      button.setAttribute("aria-pressed", String(shown.has(i)));
      draw();
      button.focus();
    } }, swatch(line), line.name);
    return button;
  }));
  const place = el("div");
  const draw = () => place.replaceChildren(lineChart(panel, panel.lines, shown, legend));
  draw();
  return place;
}
for (const place of document.querySelectorAll("[data-charts]")) place.append(...data[place.dataset.charts].map(chart));
for (const command of document.querySelectorAll("pre.command")) {
  const place = document.createComment("command");
  command.replaceWith(place);
  place.replaceWith(copyable(command));
}
document.querySelector(".tools").append(themeButton());

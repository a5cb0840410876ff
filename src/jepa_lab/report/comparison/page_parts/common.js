// Texts, numbers, colours and markers that the other scripts share.
const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = 8, SHOWN_AT_FIRST = 8;
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const SVG = "http://www.w3.org/2000/svg";

// el("p", {class: "soft"}, "text", node): text is never parsed as HTML
function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}
function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}
function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// a name with line breaks allowed only after its separators
function breakable(name, after = /(?<=[_ =,/])|(?<=\.)(?!\d)/) {
  return name.split(after).flatMap((part, i) => (i ? [el("wbr"), part] : [part]));
}
function number(value, percent = false, digits) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  const shown = percent ? 100 * value : value;
  if (digits !== undefined) return minus(shown.toFixed(digits));
  if (percent) return minus(shown.toFixed(1));
  const size = Math.abs(shown);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return minus(shown.toExponential(1));
  return minus(size >= 1000 ? Math.round(shown).toLocaleString("en") : size >= 100 ? shown.toFixed(0) : size >= 10 ? shown.toFixed(1) : shown.toFixed(3));
}
function signed(value, percent) {
  if (value === null) return "";
  const text = number(value, percent);
  return value > 0 && /[1-9]/.test(text) ? "+" + text : text;
}
function minus(text) {
  return /[1-9]/.test(text) ? text.replace(/^-/, "−").replace("e-", "e−") : text.replace(/^-/, "");
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
function duration(seconds) {
  if (seconds === null) return "";
  return seconds < 100 ? `${Math.round(seconds)} s` : seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
// The control has the text colour. The colours of other arms follow the order of names, not the ranking.
function colour(arm) {
  return arm.control ? "var(--ink)" : `var(--c${arm.colour % COLOURS})`;
}
function dash(arm) {
  return arm.control ? "" : DASHES[Math.floor(arm.colour / COLOURS) % DASHES.length];
}
function swatch(arm) {
  return svg("svg", { class: "swatch", viewBox: "0 0 26 12", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 26, y1: 6, y2: 6, stroke: colour(arm), "stroke-width": 2, "stroke-dasharray": dash(arm) }),
    marker(arm, 13, 6));
}
// Arms also differ in shape, so that colours need not be distinguished. A collapsed run is hollow.
function marker(arm, x, y, hollow = false, size = 4.5) {
  const look = { fill: hollow ? "var(--page)" : colour(arm), stroke: colour(arm), "stroke-width": 1.5 };
  const r = size;
  const shapes = [
    () => svg("circle", { cx: x, cy: y, r: r * 0.9, ...look }),
    () => svg("rect", { x: x - r * 0.8, y: y - r * 0.8, width: r * 1.6, height: r * 1.6, ...look }),
    () => svg("path", { d: `M${x} ${y - r}L${x + r} ${y + r * 0.8}L${x - r} ${y + r * 0.8}Z`, ...look }),
    () => svg("path", { d: `M${x} ${y - r * 1.1}L${x + r * 1.1} ${y}L${x} ${y + r * 1.1}L${x - r * 1.1} ${y}Z`, ...look }),
    () => svg("path", { d: `M${x} ${y + r}L${x + r} ${y - r * 0.8}L${x - r} ${y - r * 0.8}Z`, ...look }),
  ];
  return shapes[arm.colour % shapes.length]();
}

// Texts, numbers, colours, markers and buttons that all pages share.
const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = 8;
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
function duration(seconds) {
  if (seconds === null) return "";
  return seconds < 100 ? `${Math.round(seconds)} s` : seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
// The control has the text colour. The colours of other arms follow the order of names, not the ranking.
function colour(arm) {
  return arm.control ? "var(--ink)" : `var(--c${arm.colour % COLOURS})`;
}
function dash(arm) {
  return arm.dash ?? (arm.control ? "" : DASHES[Math.floor(arm.colour / COLOURS) % DASHES.length]);
}
function swatch(arm) {
  return svg("svg", { class: "swatch", viewBox: "0 0 26 12", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 26, y1: 6, y2: 6, stroke: colour(arm), "stroke-width": 2, "stroke-dasharray": arm.level ? "5 4" : dash(arm) }),
    arm.level ? "" : marker(arm, 13, 6));
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
// puts a button beside a command; where the browser refuses to copy, the text stays selected for the user to copy
function copyable(command) {
  const message = el("span", { role: "status", class: "soft" });
  const copy = async () => {
    try { await navigator.clipboard.writeText(command.textContent); message.textContent = "copied"; return; } catch { /* not allowed: try the older way */ }
    getSelection().selectAllChildren(command);
    message.textContent = document.execCommand("copy") ? "copied" : "selected: press Ctrl+C";
  };
  return el("div", { class: "copyable" }, command, el("button", { type: "button", class: "copy", onclick: copy }, "copy"), message);
}
function stored(value) {
  // a page opened as a file may have no storage
  try { return value === undefined ? localStorage.getItem("jepa-lab-theme") : localStorage.setItem("jepa-lab-theme", value); }
  catch { return null; }
}
function isDark() {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
function themeButton() {
  const button = el("button", { type: "button", id: "theme", onclick: () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    stored(document.documentElement.dataset.theme);
    label();
  } });
  const label = () => button.replaceChildren(isDark() ? "light colours" : "dark colours");
  label();
  return button;
}
if (stored()) document.documentElement.dataset.theme = stored();

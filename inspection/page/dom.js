// Small helpers for making elements; text is never read as HTML.

const byId = (id) => document.getElementById(id);

// An element; `children` are nodes or texts, and what is null or false is left out.
function element(name, properties = {}, ...children) {
  const { data = {}, aria = {}, ...own } = properties;
  const made = Object.assign(document.createElement(name), own);
  Object.assign(made.dataset, data);
  for (const [key, value] of Object.entries(aria)) made.setAttribute(`aria-${key}`, value);
  made.append(...children.flat().filter((child) => child !== null && child !== false));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

function svgElement(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat());
  return made;
}

// Names that are long may go on in a new line behind each underscore.
const code = (text) =>
  element("code", {}, text.split(/(?<=_)/).flatMap((part) => [part, element("wbr")]).slice(0, -1));
const quiet = (text) => element("span", { className: "quiet", textContent: text });

// A list of names and what they are; pairs whose value is null are left out.
function definitions(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined);
  const rows = shown.map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", {}, value)),
  );
  return element("dl", { className: "facts" }, rows);
}

// A table of cells, which are nodes or texts.
function simpleTable(heads, rows) {
  return element("div", { className: "scroll" }, element(
    "table", { className: "simple" },
    element("thead", {}, element("tr", {}, heads.map((textContent) => element("th", { scope: "col", textContent })))),
    element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell) => element("td", {}, cell))))),
  ));
}

// What unfolds, and is made when it does so first.
function fold(title, note, make) {
  const summary = element("summary", {}, element("span", { textContent: title }), quiet(note));
  const made = element("details", { className: "fold" }, summary);
  made.addEventListener("toggle", () => made.children.length === 1 && made.append(make()));
  return made;
}

// One of several, as buttons in a row.
function choice(label, options, chosen, choose) {
  const buttons = options.map(({ value, title, note }) => {
    const button = element("button", { type: "button", textContent: title });
    if (note) button.append(quiet(note));
    button.setAttribute("aria-pressed", value === chosen);
    button.addEventListener("click", () => choose(value));
    return button;
  });
  return element("div", { className: "choice", role: "group", aria: { label } }, buttons);
}

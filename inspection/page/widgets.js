// The parts that the page is put together from.

// A list of names and what they are; pairs whose value is null are left out.
function definitions(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined);
  const rows = shown.map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", {}, value)),
  );
  return element("dl", { className: "facts" }, rows);
}

const tableRow = (cells, properties = {}) =>
  element(
    "tr",
    properties,
    cells.map((cell) => element("td", {}, cell)),
  );

// A table of cells, which are nodes or texts.
function simpleTable(titles, rows) {
  const heads = titles.map((textContent) => element("th", { scope: "col", textContent }));
  const head = element("thead", {}, element("tr", {}, heads));
  const body = element(
    "tbody",
    {},
    rows.map((row) => tableRow(row)),
  );
  return element(
    "div",
    { className: "scroll" },
    element("table", { className: "simple" }, head, body),
  );
}

const card = (title, ...parts) =>
  element("div", { className: "card" }, element("h3", { textContent: title }), ...parts);

// A bar that is full as far as a share.
function meter(share, title = "") {
  const made = element("i", { className: "meter", title });
  made.style.setProperty("--share", Math.min(1, share || 0));
  return made;
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

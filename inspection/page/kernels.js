// The kernels, in a table to sort and to search.

function isWanted(kernel) {
  const words = look.text.toLowerCase().split(/\s+/).filter(Boolean);
  const math = targetTexts().math[kernel.name] ?? "";
  const text = `${kernel.name} ${kernel.region} ${kernel.anchor} ${math}`.toLowerCase();
  return (
    words.every((word) => text.includes(word)) &&
    (!look.anchors.size || look.anchors.has(kernel.anchor)) &&
    (!look.tape || look.tape in kernel.launches)
  );
}

function sorted(kernels) {
  const column = columns().find(({ key }) => key === look.key);
  if (!column) return kernels;
  const sign = look.isDown ? -1 : 1;
  return [...kernels].sort((one, other) => {
    const [a, b] = [column.value(one), column.value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
  });
}

const anchorMark = (anchor) =>
  element("i", { className: "anchor", title: anchor, data: { anchor } });

function nameCell(kernel) {
  const button = element(
    "button",
    { type: "button", className: "name" },
    anchorMark(kernel.anchor),
    code(kernel.name),
  );
  button.setAttribute("aria-expanded", look.open.has(kernel.name));
  return button;
}

function kernelRows(kernel) {
  const cells = columns().map(({ key, value, cell }) =>
    element(
      "td",
      { data: { column: key } },
      key === "name" ? nameCell(kernel) : cell(value(kernel), kernel),
    ),
  );
  const row = element("tr", { id: `kernel/${kernel.name}` }, cells);
  const [button] = row.getElementsByTagName("button");
  button.addEventListener("click", () => setOpen(row, kernel, !look.open.has(kernel.name)));
  return look.open.has(kernel.name) ? [row, detailRow(kernel)] : [row];
}

function detailRow(kernel) {
  const cell = element("td", { colSpan: columns().length }, kernelDetail(kernel));
  return element("tr", { className: "detail" }, cell);
}

function setOpen(row, kernel, isOpen) {
  if (isOpen === look.open.has(kernel.name)) return;
  row.querySelector("button").setAttribute("aria-expanded", isOpen);
  if (isOpen) {
    look.open.add(kernel.name);
    row.after(detailRow(kernel));
  } else {
    look.open.delete(kernel.name);
    row.nextSibling.remove();
  }
}

function headCell({ key, title }) {
  const isSorted = look.key === key;
  const shown = key === "launches" && look.tape ? "Launches" : title;
  const button = element("button", { type: "button", textContent: shown });
  button.addEventListener("click", () => {
    look.isDown = isSorted ? !look.isDown : key !== "name";
    look.key = key;
    drawTable();
  });
  const cell = element("th", { scope: "col", data: { column: key } }, button);
  cell.setAttribute("aria-sort", !isSorted ? "none" : look.isDown ? "descending" : "ascending");
  return cell;
}

function drawTable() {
  const found = sorted(target().kernels.filter(isWanted));
  byId("kernel-head").replaceChildren(...columns().map(headCell));
  byId("kernel-rows").replaceChildren(...found.flatMap(kernelRows));
  const all = target().kernels.length;
  byId("kernel-count").textContent =
    found.length === all ? plural(all, "kernel") : `${found.length} of ${plural(all, "kernel")}`;
}

function anchorButtons() {
  const counts = new Map();
  for (const { anchor } of target().kernels) counts.set(anchor, (counts.get(anchor) ?? 0) + 1);
  return [...counts].map(([anchor, count]) => {
    const button = element(
      "button",
      { type: "button", className: "chip" },
      anchorMark(anchor),
      anchor,
      quiet(String(count)),
    );
    button.setAttribute("aria-pressed", look.anchors.has(anchor));
    button.addEventListener("click", () => {
      if (!look.anchors.delete(anchor)) look.anchors.add(anchor);
      button.setAttribute("aria-pressed", look.anchors.has(anchor));
      drawTable();
    });
    return button;
  });
}

function tools() {
  const search = element("input", {
    type: "search",
    id: "search",
    placeholder: "Search names and math",
    value: look.text,
    spellcheck: false,
  });
  search.setAttribute("aria-label", "Search kernels");
  search.addEventListener("input", () => {
    look.text = search.value;
    drawTable();
  });
  const options = ["", ...target().tapes.map(({ name }) => name)].map((value) =>
    element("option", { value, textContent: value || "All tapes", selected: value === look.tape }),
  );
  const select = element("select", { id: "kernel-tape" }, options);
  select.setAttribute("aria-label", "Kernels of a tape");
  select.addEventListener("change", () => {
    look.tape = select.value;
    drawTable();
  });
  const count = element("output", { id: "kernel-count", className: "quiet" });
  return element("div", { className: "tools" }, search, select, anchorButtons(), count);
}

const kernelsPart = addPart("kernels", "Kernels", () => [
  heading(
    "Kernels",
    "One for each distinct region and size of step. A row unfolds to its math, its source and " +
      "its machine code.",
  ),
  tools(),
  element(
    "div",
    { className: "table card" },
    element(
      "table",
      {},
      element("thead", {}, element("tr", { id: "kernel-head" })),
      element("tbody", { id: "kernel-rows" }),
    ),
  ),
]);

// Unfolds a kernel and brings it into view, whatever is searched for.
function showKernel(name) {
  const kernel = kernelOf(name);
  if (!kernel) return;
  if (!isWanted(kernel)) {
    Object.assign(look, { text: "", tape: "" });
    look.anchors.clear();
    kernelsPart.draw();
    drawTable();
  }
  const row = byId(`kernel/${name}`);
  setOpen(row, kernel, true);
  row.scrollIntoView({ block: "start" });
}

const kernelLink = (name) =>
  element(
    "a",
    { href: `#kernel/${encodeURIComponent(name)}`, className: "name" },
    anchorMark(kernelOf(name)?.anchor ?? ""),
    code(name),
  );

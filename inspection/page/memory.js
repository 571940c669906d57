// The memory plan as a picture: launches from left to right, slots from top to bottom.

const LANE = 24, LABELS = 132, CHART = 64, BAND = 20, NAMES = 112, OVERHANG = 84, LEAST_COLUMN = 30, MOST_COLUMN = 96;
const ALIGNMENT_BYTES = 64;

const slotBytes = (slot) =>
  Math.ceil(Math.max(0, ...slot.bytes.map((size) => evaluate(size, state.sizes))) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

function sizeInputs() {
  const names = { T: "tokens", S: "sequences", R: "rows of logits", P: "pages of a sequence" };
  return Object.entries(names).map(([symbol, title]) => {
    const input = element("input", { type: "number", min: 1, max: 1 << 20, value: state.sizes[symbol] });
    input.addEventListener("change", () => {
      state.sizes[symbol] = Math.max(1, Math.min(1 << 20, Math.round(Number(input.value)) || 1));
      drawMemory();
      drawLaunches();
    });
    return element("label", { title }, element("b", { textContent: symbol }), input, quiet(title));
  });
}

// Bytes of the slots that hold something, at each launch that is shown.
function occupied(sizes, numLaunches) {
  const held = Array.from({ length: numLaunches }, () => new Set());
  for (const { slot, first, last } of tape().lives) {
    for (let place = first; place <= last; place++) held[place].add(slot);
  }
  return held.map((slots) => [...slots].reduce((sum, slot) => sum + sizes[slot], 0));
}

function memoryPicture(sizes) {
  const launches = tape().runs.flatMap((run) => run.launches);
  const slots = [...new Set(tape().lives.map((life) => life.slot))].sort((a, b) => a - b);
  const column = Math.max(LEAST_COLUMN, Math.min(MOST_COLUMN, 810 / launches.length));
  const width = LABELS + column * launches.length;
  const top = BAND + CHART + 14;
  const bottom = top + slots.length * LANE;
  const made = svgElement("svg", { viewBox: `0 0 ${width + OVERHANG} ${bottom + NAMES}`, width: width + OVERHANG, height: bottom + NAMES, role: "img" });
  made.setAttribute("aria-label", `Slots of the arena during ${tape().name}`);
  const x = (place) => LABELS + place * column;
  made.append(
    ...bands(x, bottom),
    ...chart(occupied(sizes, launches.length), sizes.reduce((sum, size) => sum + size, 0), x, column),
    ...slots.flatMap((slot, lane) => laneMarks(slot, top + lane * LANE, width, sizes[slot])),
    ...tape().lives.map((life) => bar(life, x(life.first), top + slots.indexOf(life.slot) * LANE, (life.last - life.first + 1) * column, launches)),
    ...launches.map((launch, place) => launchName(launch, x(place) + column / 2, bottom + 10)),
  );
  return made;
}

function bands(x, bottom) {
  let place = 0;
  return tape().runs.flatMap(({ count, launches }) => {
    const [left, right] = [x(place), x((place += launches.length))];
    if (count === 1) return [];
    return [
      svgElement("rect", { class: "band", x: left, y: 0, width: right - left, height: bottom + 4, rx: 6 }),
      svgElement("text", { class: "times", x: (left + right) / 2, y: 14, "text-anchor": "middle" }, `× ${count}`),
    ];
  });
}

function chart(held, arena, x, column) {
  const base = BAND + CHART;
  const y = (size) => base - (arena ? size / arena : 0) * (CHART - 6);
  const steps = held.map((size, place) => `L${x(place)} ${y(size)}H${x(place) + column}`).join("");
  const path = `M${x(0)} ${base}${steps}V${base}Z`;
  return [
    svgElement("line", { class: "roof", x1: x(0), x2: x(held.length), y1: y(arena), y2: y(arena) }),
    svgElement("path", { class: "held", d: path }),
    svgElement("text", { class: "label", x: LABELS - 10, y: y(arena) + 4, "text-anchor": "end" }, `arena ${bytes(arena)}`),
    svgElement("text", { class: "label", x: LABELS - 10, y: base, "text-anchor": "end" }, `most ${bytes(Math.max(0, ...held))}`),
  ];
}

function laneMarks(slot, y, width, size) {
  return [
    svgElement("line", { class: "lane", x1: 0, x2: width, y1: y + LANE, y2: y + LANE }),
    svgElement("text", { class: "label", x: 4, y: y + 16 }, `slot ${slot}`),
    svgElement("text", { class: "label", x: LABELS - 10, y: y + 16, "text-anchor": "end" }, bytes(size)),
  ];
}

function bar(life, x, y, width, launches) {
  const anchor = kernelOf(launches[life.first].kernel)?.anchor ?? "";
  const kind = !life.region ? "given" : life.name.startsWith("workspace") ? "workspace" : "value";
  const title = [`${life.name} ${life.type}`, life.region && `of ${life.region}`, `slot ${life.slot}, launches ${life.first} to ${life.last} of those shown`];
  return svgElement(
    "svg", { x: x + 1.5, y: y + 3, width: Math.max(4, width - 3), height: LANE - 6, class: "life" },
    svgElement("rect", { width: "100%", height: "100%", rx: 4, "data-anchor": anchor, "data-kind": kind }),
    svgElement("text", { x: 6, y: 13 }, life.name),
    svgElement("title", {}, title.filter(Boolean).join("\n")),
  );
}

function launchName(launch, x, y) {
  const name = kernelOf(launch.kernel)?.region ?? launch.kernel;
  const short = name.length > 20 ? `${name.slice(0, 19)}…` : name;
  return svgElement(
    "text", { class: "launch", x, y, transform: `rotate(40 ${x} ${y})` }, short, svgElement("title", {}, launch.kernel),
  );
}

function drawMemory() {
  const sizes = target().slots.map(slotBytes);
  const has = tape().lives.length > 0;
  const note = has
    ? "A bar is a value in its slot, from the launch that makes it to the last one that uses it; the curve is the bytes of the slots that hold one. The tapes of all sizes share the arena."
    : "The manifest does not say which buffers the kernels of this tape write, so that nobody knows what its slots hold.";
  byId("memory").replaceChildren(
    element("div", { className: "sizes" }, sizeInputs()),
    has ? element("div", { className: "picture", tabIndex: 0 }, memoryPicture(sizes)) : "",
    element("p", { className: "quiet", textContent: note }),
  );
}

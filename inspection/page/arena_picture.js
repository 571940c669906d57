// The arena of a tape as a picture: launches from left to right, slots from top to bottom.

const LANE = 24; // all in pixels
const LABELS = 132;
const BAND = 20;
const CHART = 64;
const NAMES = 112;
const OVERHANG = 84; // of the last launch's name
const LAUNCHES = 810;
const [LEAST_COLUMN, MOST_COLUMN] = [30, 96];
const ALIGNMENT_BYTES = 64;

// Bytes of a slot at the sizes of step that are shown.
function slotBytes(slot) {
  const most = Math.max(0, ...slot.bytes.map((size) => evaluate(size, state.sizes)));
  return Math.ceil(most / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

// Where everything is.
function arenaLayout() {
  const launches = tape().runs.flatMap((run) => run.launches);
  const slots = [...new Set(tape().lives.map((life) => life.slot))].sort((a, b) => a - b);
  const column = Math.max(LEAST_COLUMN, Math.min(MOST_COLUMN, LAUNCHES / launches.length));
  const top = BAND + CHART + 14;
  return {
    launches,
    slots,
    sizes: target().slots.map(slotBytes),
    x: (place) => LABELS + place * column,
    y: (slot) => top + slots.indexOf(slot) * LANE,
    right: LABELS + column * launches.length,
    bottom: top + slots.length * LANE,
  };
}

function arenaPicture() {
  const layout = arenaLayout();
  const [width, height] = [layout.right + OVERHANG, layout.bottom + NAMES];
  const made = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  made.setAttribute("aria-label", `Slots of the arena during ${tape().name}`);
  made.append(
    ...runBands(layout),
    ...heldChart(layout),
    ...layout.slots.flatMap((slot) => slotLane(slot, layout)),
    ...tape().lives.map((life) => lifeBar(life, layout)),
    ...layout.launches.map((launch, place) => launchName(launch, place, layout)),
  );
  return made;
}

// What comes again and again, with how often.
function runBands({ x, bottom }) {
  let place = 0;
  return tape().runs.flatMap(({ count, launches }) => {
    const [left, right] = [x(place), x((place += launches.length))];
    if (count === 1) return [];
    const [width, height] = [right - left, bottom + 4];
    const middle = { x: left + width / 2, y: 14, "text-anchor": "middle" };
    return [
      svgElement("rect", { class: "band", x: left, width, height, rx: 6 }),
      svgElement("text", { class: "times", ...middle }, `× ${count}`),
    ];
  });
}

// Bytes of the slots that hold something, at each launch.
function heldBytes({ launches, sizes }) {
  const held = launches.map(() => new Set());
  for (const { slot, first, last } of tape().lives) {
    for (let place = first; place <= last; place++) held[place].add(slot);
  }
  return held.map((slots) => [...slots].reduce((sum, slot) => sum + sizes[slot], 0));
}

const labelAt = (y, text) =>
  svgElement("text", { class: "label", x: LABELS - 10, y, "text-anchor": "end" }, text);

function heldChart(layout) {
  const { x, right, sizes } = layout;
  const held = heldBytes(layout);
  const arena = sizes.reduce((sum, size) => sum + size, 0);
  const base = BAND + CHART;
  const y = (size) => base - (size / (arena || 1)) * (CHART - 6);
  const steps = held.map((size, place) => `L${x(place)} ${y(size)}H${x(place + 1)}`).join("");
  const [x1, x2, top] = [x(0), right, y(arena)];
  return [
    svgElement("line", { class: "roof", x1, x2, y1: top, y2: top }),
    svgElement("path", { class: "held", d: `M${x1} ${base}${steps}V${base}Z` }),
    labelAt(top + 4, `arena ${bytes(arena)}`),
    labelAt(base, `most ${bytes(Math.max(0, ...held))}`),
  ];
}

function slotLane(slot, { y, right, sizes }) {
  const line = y(slot) + LANE;
  return [
    svgElement("line", { class: "lane", x1: 0, x2: right, y1: line, y2: line }),
    svgElement("text", { class: "label", x: 4, y: line - 8 }, `slot ${slot}`),
    labelAt(line - 8, bytes(sizes[slot])),
  ];
}

function lifeBar(life, { x, y, launches }) {
  const { slot, first, last, name, type, region } = life;
  const anchor = kernelOf(launches[first].kernel)?.anchor ?? "";
  const kind = !region ? "given" : name.startsWith("workspace") ? "workspace" : "value";
  const title = `${name} ${type}\n${region}\nslot ${slot}, launches ${first} to ${last} as shown`;
  const [width, height] = [Math.max(4, x(last + 1) - x(first) - 3), LANE - 6];
  return svgElement(
    "svg",
    { class: "life", x: x(first) + 1.5, y: y(slot) + 3, width, height },
    svgElement("rect", { width, height, rx: 4, "data-anchor": anchor, "data-kind": kind }),
    svgElement("text", { x: 6, y: 13 }, name),
    svgElement("title", {}, title),
  );
}

function launchName({ kernel }, place, { x, bottom }) {
  const region = kernelOf(kernel)?.region ?? kernel;
  const text = region.length > 20 ? `${region.slice(0, 19)}…` : region;
  const [left, top] = [(x(place) + x(place + 1)) / 2, bottom + 10];
  const at = { x: left, y: top, transform: `rotate(40 ${left} ${top})` };
  return svgElement("text", { class: "launch", ...at }, text, svgElement("title", {}, kernel));
}

// The data of the page, and what of it is shown.

const { facts, texts, passes: packedPasses } = JSON.parse(byId("data").textContent);

const state = { target: Object.keys(facts.targets)[0], tape: null, sizes: null };

const target = () => facts.targets[state.target];
const targetTexts = () => texts[state.target];
const tape = () => target().tapes.find((one) => one.name === state.tape);
const kernelOf = (name) => target().kernels.find((kernel) => kernel.name === name);

const ANY_ROWS = 2048; // of a step that is as large as it likes
const MOST_SEQUENCES = 64;
const TABLE_WIDTH = 128; // pages of a sequence

function chooseTarget(name) {
  state.target = name;
  chooseTape(target().tapes[0]?.name ?? null);
}

// A tape is shown at the largest step that it takes.
function chooseTape(name) {
  state.tape = name;
  const made = tape();
  if (!made) return;
  const rows = made.max_rows ?? (made.name.startsWith("sample") ? MOST_SEQUENCES : ANY_ROWS);
  const sequences = made.one_token_each ? rows : Math.min(rows, MOST_SEQUENCES);
  state.sizes = { T: rows, S: sequences, R: sequences, P: TABLE_WIDTH };
}

// Parts of the page, which are drawn anew when what they show has changed.
const parts = [];

function addPart(id, title, draw) {
  const root = element("section", { id });
  root.setAttribute("aria-label", title);
  const part = { id, title, root, draw: () => root.replaceChildren(...[draw()].flat()) };
  parts.push(part);
  return part;
}

const heading = (title, note = "") =>
  element("header", {}, element("h2", { textContent: title }), note && element("p", { className: "quiet", textContent: note }));

chooseTarget(state.target);

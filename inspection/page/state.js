// The data of the page, and what of it is shown.

const { facts, texts, passes: packedPasses } = JSON.parse(byId("data").textContent);

const state = { target: Object.keys(facts.targets)[0], tape: null, sizes: null, card: null };

const target = () => facts.targets[state.target];
const targetTexts = () => texts[state.target];
const tape = () => target().tapes.find((one) => one.name === state.tape);
const kernelOf = (name) => target().kernels.find((kernel) => kernel.name === name);

// Cards that the target's times are predicted for.
const cards = () => Object.keys(target().tapes[0]?.predicted_s ?? {});

function chooseTarget(name) {
  state.target = name;
  state.card = cards().at(-1) ?? null;
  chooseTape(target().tapes[0]?.name ?? null);
}

// A tape is shown at the largest step that it takes.
function chooseTape(name) {
  state.tape = name;
  state.sizes = { ...tape()?.step.sizes };
}

// A tape's launches that are shown, with how often each comes and the seconds of one.
function timedLaunches(made) {
  const shown = made.runs.flatMap(({ count, launches }) =>
    launches.map((launch) => ({ launch, count })),
  );
  const times = made.predicted_s[state.card];
  return shown.map((one, place) => ({ ...one, time: times?.[place] ?? null }));
}

const totalTime = (timed) => timed.reduce((sum, { count, time }) => sum + count * (time ?? 0), 0);

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
  element(
    "header",
    {},
    element("h2", { textContent: title }),
    note && element("p", { className: "quiet", textContent: note }),
  );

chooseTarget(state.target);

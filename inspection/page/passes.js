// What each pass of the build did: IR before and after it, and the places that it left alone.

const passView = { passes: null, chosen: 0 };

const numMisses = ({ misses }) => (misses.length ? `${misses.length} left alone` : "");

function launchBar({ launches }) {
  const most = Math.max(...passView.passes.map((pass) => pass.launches));
  return meter(launches / most, `${plural(launches, "launch", "launches")} of a step`);
}

function passButton(pass, place) {
  const button = element(
    "button",
    { type: "button", className: pass.rewrites || !place ? "pass" : "pass idle" },
    code(pass.name),
    pass.rewrites ? element("b", { textContent: number(pass.rewrites) }) : null,
    quiet(numMisses(pass)),
    launchBar(pass),
  );
  button.setAttribute("aria-pressed", place === passView.chosen);
  button.addEventListener("click", () => {
    passView.chosen = place;
    drawPasses();
  });
  return button;
}

function passList() {
  const heads = ["Pass", "Rewrites", "Launches"].map((textContent) =>
    element("span", { textContent }),
  );
  const made = [element("p", { className: "pass quiet" }, heads)];
  passView.passes.forEach((pass, place) => {
    const isNewStage = pass.stage !== passView.passes[place - 1]?.stage;
    if (isNewStage) made.push(element("h3", { textContent: pass.stage }));
    made.push(passButton(pass, place));
  });
  return element("div", { className: "pass-list" }, made);
}

// The last of the passes before one for which something holds.
const lastBefore = (place, holds) => passView.passes.slice(0, place).findLast(holds);

// Functions of the module that the pass before has left.
const functionsBefore = (place) => lastBefore(place, ({ order }) => order.length)?.order ?? [];

// A function as the passes before one have left it; empty where it was not there.
function textBefore(place, name) {
  if (!functionsBefore(place).includes(name)) return "";
  return lastBefore(place, ({ changes }) => name in changes).changes[name].text;
}

// The fold of a text that a pass has changed or made.
function textFold(title, note, before, after) {
  const isNew = !before;
  const block = () => (isNew ? codeBlock(after) : diffBlock(before, after));
  return fold(title, isNew ? `new, ${numLines(after)}` : note, block);
}

function changeText({ ops }) {
  const parts = Object.entries(ops).filter(([, count]) => count);
  const sign = (count) => (count > 0 ? "+" : "−");
  return parts.map(([op, count]) => `${sign(count)}${Math.abs(count)} ${op}`).join(", ");
}

function missTable(misses) {
  const rows = misses.map(({ value, function: name, origin, predicate, found }) => [
    element("span", { title: origin }, code(`%${value}`), quiet(` in @${name}`)),
    predicate,
    found,
  ]);
  return simpleTable(["Left alone", "must hold", "but"], rows);
}

function goneText({ order }, place) {
  const gone = order.length ? functionsBefore(place).filter((name) => !order.includes(name)) : [];
  if (!gone.length) return null;
  return gone.length > 3
    ? `@${gone[0]} … @${gone.at(-1)}, ${gone.length} in all`
    : gone.map((name) => `@${name}`).join(", ");
}

function passFacts(pass, place) {
  const before = passView.passes[place - 1];
  const step = (name, show) => {
    const [old, now] = [before && show(before[name]), show(pass[name])];
    return old === undefined || old === now ? now : `${old} → ${now}`;
  };
  return definitions([
    ["Rewrites", number(pass.rewrites)],
    ["Functions gone", goneText(pass, place)],
    ["Launches", step("launches", number)],
    ["Bytes moved", step("bytes", (size) => bytes(evaluate(size, state.sizes)))],
  ]);
}

function passFolds(pass, place) {
  const changes = Object.entries(pass.changes).map(([name, change]) =>
    textFold(`@${name}`, changeText(change), textBefore(place, name), change.text),
  );
  if (place && changes.length <= 3) changes.forEach((one) => (one.open = true));
  if (!pass.head) return changes;
  const head = lastBefore(place, (earlier) => earlier.head)?.head;
  return [textFold("Weights", "", head, pass.head), ...changes];
}

function passDetail() {
  const place = Math.max(0, passView.chosen);
  const pass = passView.passes[place];
  const folds = passFolds(pass, place);
  return element(
    "div",
    { className: "pass-detail" },
    element("h3", {}, code(pass.name)),
    passFacts(pass, place),
    pass.misses.length ? missTable(pass.misses) : null,
    folds.length ? folds : quiet("It found nothing to rewrite."),
  );
}

function drawPasses() {
  byId("pass-view").replaceChildren(passList(), passDetail());
}

function showPasses() {
  if (!packedPasses) return;
  unpacked(packedPasses)
    .then((text) => {
      passView.passes = JSON.parse(text).passes;
      passView.chosen = passView.passes.findLastIndex(({ rewrites }) => rewrites);
      drawPasses();
    })
    .catch((error) => (byId("pass-view").textContent = `They cannot be read: ${error.message}`));
}

if (packedPasses) {
  addPart("passes", "Passes", () => [
    heading(
      "Passes",
      "From the trace to regions. Launches and bytes are those of a step, as if each node that " +
        "moves data were a kernel of its own.",
    ),
    element("div", { id: "pass-view", className: "card", textContent: "…" }),
  ]);
}

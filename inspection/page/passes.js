// What each pass of the build did: IR before and after it, and the places that it left alone.

const passView = { passes: null, chosen: 0 };

const numMisses = ({ misses }) => (misses.length ? `${misses.length} left alone` : "");

function launchBar({ launches }) {
  const most = Math.max(...passView.passes.map((pass) => pass.launches));
  const bar = element("i", { className: "meter", title: `${plural(launches, "launch").replace("launchs", "launches")} of a step` });
  bar.style.setProperty("--share", launches / most);
  return bar;
}

function passButton(pass, place) {
  const button = element(
    "button", { type: "button", className: pass.rewrites || !place ? "pass" : "pass idle" },
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
  const heads = ["Pass", "Rewrites", "Launches"];
  const made = [element("p", { className: "pass quiet" }, heads.map((textContent) => element("span", { textContent })))];
  passView.passes.forEach((pass, place) => {
    if (pass.stage !== passView.passes[place - 1]?.stage) {
      made.push(element("h3", { textContent: pass.stage }));
    }
    made.push(passButton(pass, place));
  });
  return element("div", { className: "pass-list" }, made);
}

// Functions of the module that the pass before has left.
function functionsBefore(place) {
  return passView.passes.slice(0, place).filter(({ order }) => order.length).at(-1)?.order ?? [];
}

// A function as the passes before one have left it.
function textBefore(place, name) {
  const earlier = passView.passes.slice(0, place).filter((pass) => name in pass.changes);
  return functionsBefore(place).includes(name) ? earlier.at(-1).changes[name].text : "";
}

function changeText({ ops }) {
  const parts = Object.entries(ops).filter(([, count]) => count);
  return parts.map(([op, count]) => `${count > 0 ? "+" : "−"}${Math.abs(count)} ${op}`).join(", ");
}

function changeFold(name, change, place) {
  const before = textBefore(place, name);
  const block = () => (before ? diffBlock(before, change.text) : codeBlock(change.text));
  const note = before ? changeText(change) : `new, ${numLines(change.text)}`;
  return fold(`@${name}`, note, block);
}

function missTable(misses) {
  const rows = misses.map(({ value, function: name, origin, predicate, found }) => [
    element("span", { title: origin }, code(`%${value}`), quiet(` in @${name}`)), predicate, found,
  ]);
  return simpleTable(["Left alone", "must hold", "but"], rows);
}

function goneText({ order }, place) {
  const gone = order.length ? functionsBefore(place).filter((name) => !order.includes(name)) : [];
  if (!gone.length) return null;
  return gone.length > 3 ? `@${gone[0]} … @${gone.at(-1)}, ${gone.length} in all` : gone.map((name) => `@${name}`).join(", ");
}

function headFold({ head }, place) {
  if (!head) return null;
  const before = passView.passes.slice(0, place).filter((pass) => pass.head).at(-1)?.head;
  return fold("Weights", before ? "" : numLines(head), () => (before ? diffBlock(before, head) : codeBlock(head)));
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

function passDetail() {
  const place = Math.max(0, passView.chosen);
  const pass = passView.passes[place];
  const names = Object.keys(pass.changes);
  const folds = names.map((name) => changeFold(name, pass.changes[name], place));
  if (names.length && names.length <= 3 && place) folds.forEach((one) => (one.open = true));
  return element(
    "div", { className: "pass-detail" },
    element("h3", {}, code(pass.name)),
    passFacts(pass, place),
    pass.misses.length ? missTable(pass.misses) : null,
    headFold(pass, place),
    folds.length ? folds : element("p", { className: "quiet", textContent: "It found nothing to rewrite." }),
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
    heading("Passes", "From the trace to regions. Launches and bytes are those of a step, as if each node that moves data were a kernel of its own."),
    element("div", { id: "pass-view", className: "card", textContent: "…" }),
  ]);
}

// The launches of a tape, in order; repeated layers come once.

function takesText({ max_rows: rows, one_token_each: isDecode, name }) {
  const what = name.startsWith("sample") ? "rows of logits" : isDecode ? "sequences with a token each" : "tokens";
  return rows === null ? `any number of ${what}` : rows === 1 && isDecode ? "one sequence with one token" : `up to ${number(rows)} ${what}`;
}

function stepText({ num_seqs: count, num_tokens: tokens, context }) {
  const after = context ? ` after ${number(context)}` : "";
  return `${plural(count, "sequence")}, ${plural(tokens, "token")}${count > 1 ? " each" : ""}${after}`;
}

// The time of a step by prediction, on a card that can be chosen.
function prediction() {
  if (!state.card) return null;
  const options = cards().map((name) => element("option", { textContent: name, selected: name === state.card }));
  const select = element("select", { id: "card", aria: { label: "Card" } }, options);
  select.addEventListener("change", () => {
    state.card = select.value;
    drawAll();
  });
  const time = element("strong", { textContent: duration(totalTime(timedLaunches(tape()))) });
  return element("p", { id: "predicted" }, time, " by prediction on ", select, quiet(stepText(tape().step)));
}

function tapePicker() {
  const entries = new Map();
  for (const { name } of target().tapes) {
    const [entry] = name.split(".");
    entries.set(entry, [...(entries.get(entry) ?? []), name]);
  }
  const choose = (name) => {
    chooseTape(name);
    drawTape();
  };
  const groups = [...entries].map(([entry, names]) => {
    const options = names.map((value) => ({ value, title: value.slice(entry.length + 1) || value }));
    const label = names.length > 1 || names[0] !== entry ? element("span", { textContent: entry }) : null;
    return element("div", { className: "entry" }, label, choice(entry, options, state.tape, choose));
  });
  return element("div", { id: "tape-picker" }, groups);
}

// Where a value is, at a launch that is shown.
function valueIn(slot, place) {
  return tape().lives.filter((life) => life.slot === slot && life.first <= place && place <= life.last).at(-1);
}

function bufferChip({ kind, name, index, step }, place, count) {
  let text = name;
  let title = `${kind} ${name}`;
  if (kind === "slot") {
    const value = valueIn(Number(name), place);
    text = value ? value.name : `slot ${name}`;
    title = value ? `${value.name} ${value.type} in slot ${name}` : title;
  } else if (index !== null && index !== undefined) {
    const last = index + (step ?? 0) * (count - 1);
    text = last === index ? `${name}/${index}` : `${name}/${index}…${last}`;
    title = kind === "cache" ? `pages of ${name}, layer ${index}` : title;
  }
  return element("span", { className: "buffer", title, data: { kind } }, text, kind === "slot" && quiet(`@${name}`));
}

// A workspace that a launch before has filled is read.
function isMade({ kind, name, is_written: isWritten }, place) {
  return Boolean(isWritten) && (kind !== "slot" || valueIn(Number(name), place)?.first === place);
}

function timeElement(time, whole) {
  if (time === null) return element("span");
  const meter = element("i", { className: "meter" });
  meter.style.setProperty("--share", time / whole);
  return element("span", { className: "time" }, duration(time), meter);
}

function launchRow({ launch, count, time }, number, place, longest) {
  const reads = launch.buffers.filter((buffer) => !isMade(buffer, place));
  const writes = launch.buffers.filter((buffer) => isMade(buffer, place));
  const chips = (buffers) => buffers.map((buffer) => bufferChip(buffer, place, count));
  const blocks = launch.grid.length ? `${numBlocks(launch.grid, state.sizes).toLocaleString("en")} blocks at these sizes` : "";
  return element(
    "li", {},
    element("span", { className: "order", textContent: number }),
    element("div", { className: "what" }, kernelLink(launch.kernel), launch.grid.length ? element("span", { className: "grid", title: blocks, textContent: gridText(launch.grid) }) : null),
    element("div", { className: "buffers" }, chips(reads), writes.length ? element("b", { textContent: "→" }) : null, chips(writes)),
    timeElement(time, longest),
  );
}

function runElement(run, place, timed, longest) {
  const own = timed.slice(place, place + run.launches.length);
  const rows = own.map((one, at) => launchRow(one, run.first + at, place + at, longest));
  const list = element("ol", { className: "launches" }, rows);
  if (run.count === 1) return list;
  const last = run.first + run.count * run.launches.length - 1;
  const moves = run.slots_move ? "; the first is shown, later ones may have values in other slots" : "";
  const all = state.card ? element("span", { className: "time", textContent: duration(totalTime(own)) }) : null;
  return element(
    "div", { className: "repeat" },
    element("p", {}, element("strong", { textContent: `× ${run.count}` }), quiet(` launches ${run.first} to ${number(last)}${moves}`), all),
    list,
  );
}

function drawLaunches() {
  let place = 0;
  const timed = timedLaunches(tape());
  const longest = Math.max(...timed.map(({ time }) => time ?? 0));
  const made = tape().runs.map((run) => {
    const shown = runElement(run, place, timed, longest);
    place += run.launches.length;
    return shown;
  });
  byId("launches").replaceChildren(...made);
}

function drawTape() {
  if (!tape()) return;
  byId("tape-picker").replaceWith(tapePicker());
  byId("tape-title").replaceChildren(
    code(tape().name), ` takes ${takesText(tape())}: `,
    `${plural(tape().num_launches, "launch").replace("launchs", "launches")} = ${runsText(tape().runs)}`,
  );
  byId("tape-time").replaceChildren(prediction() ?? "");
  drawMemory();
  drawLaunches();
}

addPart("tapes", "Tapes", () => [
  heading("Tapes", "A step runs the first tape that takes it, launch by launch or as a graph made from it."),
  element("div", { id: "tape-picker" }),
  element("p", { id: "tape-title" }),
  element("div", { id: "tape-time" }),
  element("h3", { textContent: "Arena, launch by launch" }),
  element("div", { id: "memory", className: "card" }),
  element("h3", { textContent: "Launches" }),
  element("div", { id: "launches", className: "card" }),
]);

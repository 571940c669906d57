// The launches of a tape, in order; repeated layers come once.

// Where a value is, at a launch that is shown.
function valueIn(slot, place) {
  return tape()
    .lives.filter((life) => life.slot === slot && life.first <= place && place <= life.last)
    .at(-1);
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
  return element(
    "span",
    { className: "buffer", title, data: { kind } },
    text,
    kind === "slot" && quiet(`@${name}`),
  );
}

// A workspace that a launch before has filled is read.
function isMade({ kind, name, is_written: isWritten }, place) {
  return Boolean(isWritten) && (kind !== "slot" || valueIn(Number(name), place)?.first === place);
}

const timeElement = (time, ...more) =>
  element("span", { className: "time" }, time === null ? null : [duration(time), ...more]);

function gridElement(grid) {
  if (!grid.length) return null;
  const title = `${number(numBlocks(grid, state.sizes))} blocks at these sizes`;
  return element("span", { className: "grid", title, textContent: gridText(grid) });
}

function launchRow({ launch, count, time }, order, place, longest) {
  const reads = launch.buffers.filter((buffer) => !isMade(buffer, place));
  const writes = launch.buffers.filter((buffer) => isMade(buffer, place));
  const chips = (buffers) => buffers.map((buffer) => bufferChip(buffer, place, count));
  const arrow = writes.length ? element("b", { textContent: "→" }) : null;
  return element(
    "li",
    {},
    element("span", { className: "order", textContent: order }),
    element("div", { className: "what" }, kernelLink(launch.kernel), gridElement(launch.grid)),
    element("div", { className: "buffers" }, chips(reads), arrow, chips(writes)),
    timeElement(time, meter(time / longest)),
  );
}

function runElement(run, place, timed, longest) {
  const own = timed.slice(place, place + run.launches.length);
  const rows = own.map((one, at) => launchRow(one, run.first + at, place + at, longest));
  const list = element("ol", { className: "launches" }, rows);
  if (run.count === 1) return list;
  const last = run.first + run.count * run.launches.length - 1;
  const moves = "; the first is shown, later ones may have values in other slots";
  const note = ` launches ${run.first} to ${number(last)}${run.slots_move ? moves : ""}`;
  const times = element("strong", { textContent: `× ${run.count}` });
  const all = timeElement(state.card && totalTime(own));
  return element("div", { className: "repeat" }, element("p", {}, times, quiet(note), all), list);
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

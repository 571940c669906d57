// A tape: which steps it takes, how long its largest takes, its arena and its launches.

function takesText({ max_rows: rows, one_token_each: isDecode, name }) {
  const what = name.startsWith("sample")
    ? "rows of logits"
    : isDecode
      ? "sequences with a token each"
      : "tokens";
  return rows === null
    ? `any number of ${what}`
    : rows === 1 && isDecode
      ? "one sequence with one token"
      : `up to ${number(rows)} ${what}`;
}

function stepText({ num_seqs: count, num_tokens: tokens, context }) {
  const after = context ? ` after ${number(context)}` : "";
  const each = count > 1 ? " each" : "";
  return `${plural(count, "sequence")}, ${plural(tokens, "token")}${each}${after}`;
}

// The time of a step by prediction, on a card that can be chosen.
function prediction() {
  if (!state.card) return null;
  const options = cards().map((name) =>
    element("option", { textContent: name, selected: name === state.card }),
  );
  const select = element("select", { id: "card", aria: { label: "Card" } }, options);
  select.addEventListener("change", () => {
    state.card = select.value;
    drawAll();
  });
  const time = element("strong", { textContent: duration(totalTime(timedLaunches(tape()))) });
  return element(
    "p",
    { id: "predicted" },
    time,
    " by prediction on ",
    select,
    quiet(stepText(tape().step)),
  );
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
    const options = names.map((value) => ({
      value,
      title: value.slice(entry.length + 1) || value,
    }));
    const label =
      names.length > 1 || names[0] !== entry ? element("span", { textContent: entry }) : null;
    return element(
      "div",
      { className: "entry" },
      label,
      choice(entry, options, state.tape, choose),
    );
  });
  return element("div", { id: "tape-picker" }, groups);
}

function drawTape() {
  if (!tape()) return;
  byId("tape-picker").replaceWith(tapePicker());
  byId("tape-title").replaceChildren(
    code(tape().name),
    ` takes ${takesText(tape())}: `,
    `${plural(tape().num_launches, "launch", "launches")} = ${runsText(tape().runs)}`,
  );
  byId("tape-time").replaceChildren(prediction() ?? "");
  drawMemory();
  drawLaunches();
}

addPart("tapes", "Tapes", () => [
  heading(
    "Tapes",
    "A step runs the first tape that takes it, launch by launch or as a graph made from it.",
  ),
  element("div", { id: "tape-picker" }),
  element("p", { id: "tape-title" }),
  element("div", { id: "tape-time" }),
  element("h3", { textContent: "Arena, launch by launch" }),
  element("div", { id: "memory", className: "card" }),
  element("h3", { textContent: "Launches" }),
  element("div", { id: "launches", className: "card" }),
]);

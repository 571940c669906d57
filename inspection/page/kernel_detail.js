// What is behind the fold of a kernel's row.

function kernelDetail(kernel) {
  const { math, source, assembly } = targetTexts();
  const folds = [
    kernel.choices.length && fold("Configuration", choicesText(kernel.choices), () => choicesBlock(kernel.choices)),
    source[kernel.name] && fold("Source", numLines(source[kernel.name]), () => codeBlock(source[kernel.name])),
    assembly[kernel.name] && fold(assemblyName(), "the text of the machine code", () => packedBlock(assembly[kernel.name])),
  ];
  return element(
    "div", {},
    element("div", { className: "columns" }, blockFacts(kernel), useFacts(kernel)),
    math[kernel.name] && codeBlock(math[kernel.name]),
    folds.filter(Boolean),
  );
}

const settingsText = (configuration) =>
  Object.entries(configuration).map(([name, value]) => `${name} ${value}`).join(", ") || "the only one";

const choicesText = (choices) => [...new Set(choices.map(({ origin }) => origin))].join("; ");

// What was chosen for the sizes of step that share the kernel, and what was not.
function choicesBlock(choices) {
  const rows = choices.flatMap(({ key, configuration, origin, candidates }) => [
    choiceRow("chosen", key.steps, configuration, origin),
    ...candidates.map((candidate) => choiceRow("", key.steps, candidate.configuration, candidate.reason)),
  ]);
  const { kernel, shape, dtype } = choices[0].key;
  return element(
    "div", { className: "choices scroll" },
    element("p", { className: "quiet" }, code(kernel), ` of ${shape.join(" × ")}, ${dtype}`),
    element("table", {}, element("tbody", {}, rows)),
  );
}

const choiceRow = (className, steps, configuration, why) =>
  element("tr", { className }, [steps, settingsText(configuration), why].map((textContent) => element("td", { textContent })));

const assemblyName = () => (state.target.startsWith("cuda") ? "PTX" : "Assembly");

function blockFacts({ machine }) {
  if (!machine) return null;
  const threads = machine.num_threads ? `, ${number(machine.num_threads)} threads` : "";
  return definitions([
    ["Block", `${plural(machine.num_warps, "warp")}${threads}`],
    ["Registers of a thread", number(machine.registers)],
    ["Spilled, or arrays of a thread", bytes(machine.local_bytes)],
    ["Shared memory of a block", bytes(machine.shared_bytes)],
    ["On a multiprocessor", machine.blocks && `${plural(machine.blocks, "block")}: no more ${limitText(machine.limit)}`],
    ["Occupancy", machine.occupancy && `${percent(machine.occupancy)} of the warps that it could hold`],
    ["Tensor maps", machine.num_maps ? number(machine.num_maps) : null],
    ["Begins", machine.begins_early ? "while the launch before it ends" : "after the launch before it"],
  ]);
}

const limitText = (limit) => ({ warps: "warps", blocks: "blocks", registers: "registers" })[limit] ?? limit;

function useFacts(kernel) {
  const tapes = Object.entries(kernel.launches).map(([name, count]) =>
    element("span", { className: "pill" }, name, quiet(`× ${count}`)),
  );
  return definitions([
    ["Region", code(kernel.region)],
    ["Anchor", kernel.anchor],
    ["Launched in", tapes.length ? element("span", { className: "pills" }, tapes) : "no tape"],
    ["Buffers", kernel.operands.join(", ") || null],
    ["Bytes moved", kernel.bytes && formula(kernel.bytes)],
    ["FLOPs", kernel.flops && formula(kernel.flops)],
  ]);
}

// What is behind the fold of a kernel's row.

function kernelDetail(kernel) {
  const { math, source, assembly } = targetTexts();
  const { name, choices } = kernel;
  return element(
    "div",
    {},
    element("div", { className: "columns" }, blockFacts(kernel), useFacts(kernel)),
    math[name] ? codeBlock(math[name]) : null,
    choices.length ? fold("Configuration", origins(choices), () => choicesBlock(choices)) : null,
    source[name] ? fold("Source", numLines(source[name]), () => codeBlock(source[name])) : null,
    assembly[name] ? fold(assemblyName(), "", () => packedBlock(assembly[name])) : null,
  );
}

function settingsText({ kind, configuration }) {
  const fields = Object.entries(configuration).map(([name, value]) => `${name} ${value}`);
  return [kind, fields.join(", ")].filter(Boolean).join(": ") || "the only one";
}

const origins = (choices) => [...new Set(choices.map(({ origin }) => origin))].join("; ");

// What was chosen for the sizes of step that share the kernel, and what was not.
function choicesBlock(choices) {
  const rows = choices.flatMap((choice) => [
    choiceRow("chosen", choice.key.steps, choice, choice.origin),
    ...choice.candidates.map((other) => choiceRow("", choice.key.steps, other, other.reason)),
  ]);
  const { kernel, shape, dtype } = choices[0].key;
  return element(
    "div",
    { className: "choices scroll" },
    element("p", { className: "quiet" }, code(kernel), ` of ${shape.join(" × ")}, ${dtype}`),
    element("table", {}, element("tbody", {}, rows)),
  );
}

const choiceRow = (className, steps, form, why) =>
  tableRow([steps, settingsText(form), why], { className });

const assemblyName = () => (state.target.startsWith("cuda") ? "PTX" : "Assembly");

function blockFacts({ machine }) {
  if (!machine) return null;
  const { num_warps: warps, num_threads: threads, blocks, occupancy, limit } = machine;
  const begins = machine.begins_early ? "while the launch before it ends" : "after the one before";
  return definitions([
    [
      "Block",
      [plural(warps, "warp"), threads && `${number(threads)} threads`].filter(Boolean).join(", "),
    ],
    ["Registers of a thread", number(machine.registers)],
    ["Local memory of a thread", bytes(machine.local_bytes)],
    ["Shared memory of a block", bytes(machine.shared_bytes)],
    ["On a multiprocessor", blocks && `${plural(blocks, "block")}: no more ${limit}`],
    ["Occupancy", occupancy && `${percent(occupancy)} of the warps that it could hold`],
    ["Tensor maps", machine.num_maps || null],
    ["Begins", begins],
  ]);
}

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

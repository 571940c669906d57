// The columns of the table of kernels: how a value is found, and how it is shown.

// What is looked for, and which rows are unfolded.
const look = { text: "", anchors: new Set(), tape: "", key: null, isDown: false, open: new Set() };

const machineValue = (key) => (kernel) => kernel.machine?.[key] ?? null;
const numLaunches = (kernel) =>
  look.tape ? (kernel.launches[look.tape] ?? 0) : Object.keys(kernel.launches).length;

// Zeros are quiet, so that the others are seen.
const numberCell = (value) => (value === null ? "" : value ? number(value) : quiet("0"));
const bytesCell = (value) => (value ? bytes(value) : numberCell(value));

function occupancyCell(share, kernel) {
  if (share === null) return "";
  const { blocks, limit } = kernel.machine;
  const title = `${plural(blocks, "block")} on a multiprocessor, limited by ${limit}`;
  return element("span", { className: "occupancy", title }, meter(share), percent(share));
}

const NAME = { key: "name", title: "Kernel", value: (kernel) => kernel.name };
const USED = { key: "launches", title: "Tapes", value: numLaunches, cell: numberCell };
const MACHINE = [
  { key: "num_warps", title: "Warps" },
  { key: "registers", title: "Registers" },
  { key: "local_bytes", title: "Local" },
  { key: "shared_bytes", title: "Shared", cell: bytesCell },
  { key: "blocks", title: "Blocks" },
  { key: "occupancy", title: "Occupancy", cell: occupancyCell },
].map((column) => ({ value: machineValue(column.key), cell: numberCell, ...column }));
const COST = [
  { key: "bytes", title: "Bytes" },
  { key: "flops", title: "FLOPs" },
].map((column) => ({
  value: (kernel) => kernel[column.key] && evaluate(kernel[column.key], state.sizes),
  cell: (value, kernel) => (kernel[column.key] ? formula(kernel[column.key]) : ""),
  ...column,
}));

// All launches of a kernel in the tape that is looked at.
function predictedTime(kernel) {
  const made = target().tapes.find(({ name }) => name === look.tape);
  return totalTime(timedLaunches(made).filter(({ launch }) => launch.kernel === kernel.name));
}

function timeCell(time) {
  const made = target().tapes.find(({ name }) => name === look.tape);
  return [duration(time), quiet(` ${percent(time / totalTime(timedLaunches(made)))}`)];
}

const TIME = { key: "time", title: "Predicted", value: predictedTime, cell: timeCell };

function columns() {
  const isGpu = target().kernels.some((kernel) => kernel.machine);
  const time = look.tape && state.card ? [TIME] : [];
  return [NAME, USED, ...time, ...(isGpu ? MACHINE : COST)];
}

// Numbers and formulas as text.

const number = (value) => value.toLocaleString("en");
const percent = (share) => `${Math.round(share * 100)} %`;
const plural = (count, word, words = `${word}s`) =>
  `${number(count)} ${count === 1 ? word : words}`;

function bytes(count) {
  for (const unit of ["bytes", "KiB", "MiB", "GiB"]) {
    if (count < 1024 || unit === "GiB") return `${Number(count.toPrecision(4))} ${unit}`;
    count /= 1024;
  }
}

function duration(seconds) {
  const [value, unit] = seconds < 1e-3 ? [seconds * 1e6, "µs"] : [seconds * 1e3, "ms"];
  return `${Number(value.toPrecision(3)).toLocaleString("en")} ${unit}`;
}

// As `64 + 4 R`.
function formula(expression) {
  const terms = Object.entries(expression).map(([symbols, factor]) =>
    symbols && factor === 1 ? symbols : `${number(factor)} ${symbols}`.trim(),
  );
  return terms.join(" + ") || "0";
}

// The value of an expression at a step's sizes; `SP` is the product of S and P.
function evaluate(expression, sizes) {
  const terms = Object.entries(expression).map(([symbols, factor]) =>
    [...symbols].reduce((product, symbol) => product * (sizes[symbol] ?? 0), factor),
  );
  return terms.reduce((sum, term) => sum + term, 0);
}

// A term of a grid is [extent, divisor, factor]; those of one block are left out at the end.
function gridText(grid) {
  const terms = grid.map(([extent, divisor, factor]) => {
    const isConstant = Object.keys(extent).every((symbols) => symbols === "");
    if (isConstant) return number(Math.max(1, Math.ceil((extent[""] ?? 0) / divisor)) * factor);
    const text = formula(extent);
    const count =
      divisor === 1 ? text : `⌈${text.includes("+") ? `(${text})` : text} / ${divisor}⌉`;
    return factor === 1
      ? count
      : `${divisor === 1 && text.includes("+") ? `(${count})` : count} · ${factor}`;
  });
  while (terms.length > 1 && terms.at(-1) === "1") terms.pop();
  return terms.join(" × ");
}

const numBlocks = (grid, sizes) =>
  grid.reduce(
    (product, [extent, divisor, factor]) =>
      product * Math.max(1, Math.ceil(evaluate(extent, sizes) / divisor)) * factor,
    1,
  );

// What differs between two texts, line by line and within lines.

const MOST_COMPARED = 4_000_000; // pairs of lines
const CONTEXT = 3; // lines that are shown around a change

// Lines as [mark, text]; a mark is "-" for what has gone, "+" for what has come, " " for the rest.
function diffLines(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const same = (lines) => lines.map((line) => [" ", line]);
  return [
    ...same(a.slice(0, start)),
    ...diffMiddle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...same(a.slice(a.length - end)),
  ];
}

function diffMiddle(a, b) {
  const made = [];
  let [i, j] = [0, 0];
  if (a.length * b.length <= MOST_COMPARED) {
    const longest = commonLengths(a, b);
    const at = (row, column) => longest[row * (b.length + 1) + column];
    while (i < a.length && j < b.length) {
      if (a[i] === b[j]) [made[made.length], i, j] = [[" ", a[i]], i + 1, j + 1];
      else if (at(i + 1, j) >= at(i, j + 1)) made.push(["-", a[i++]]);
      else made.push(["+", b[j++]]);
    }
  }
  const rest = (mark, lines) => lines.map((line) => [mark, line]);
  return [...made, ...rest("-", a.slice(i)), ...rest("+", b.slice(j))];
}

// How many lines are common, in order, to what is left of both texts from each pair of lines on.
function commonLengths(a, b) {
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const place = i * width + j;
      longest[place] =
        a[i] === b[j]
          ? longest[place + width + 1] + 1
          : Math.max(longest[place + width], longest[place + 1]);
    }
  }
  return longest;
}

// Changes with some lines around them; a number stands for so many lines that are left out.
function hunks(lines) {
  const isNear = lines.map(() => false);
  lines.forEach(([mark], at) => {
    if (mark === " ") return;
    isNear.fill(true, Math.max(0, at - CONTEXT), at + CONTEXT + 1);
  });
  const made = [];
  lines.forEach((line, at) => {
    if (isNear[at]) made.push(line);
    else if (typeof made.at(-1) === "number") made[made.length - 1]++;
    else made.push(1);
  });
  return made;
}

// The parts of a line that its partner has, too, at its beginning and end, and what is between.
function splitAgainst(line, partner) {
  const most = Math.min(line.length, partner.length);
  let start = 0;
  while (start < most && line[start] === partner[start]) start++;
  let end = 0;
  while (end < most - start && line.at(-1 - end) === partner.at(-1 - end)) end++;
  return [
    line.slice(0, start),
    line.slice(start, line.length - end),
    line.slice(line.length - end),
  ];
}

// For each line that has gone, the one that has come in its place, where as many came as went.
function partners(lines) {
  const found = new Map();
  for (let at = 0; at < lines.length; at++) {
    let [gone, come] = [at, at];
    while (lines[come]?.[0] === "-") come++;
    const count = come - gone;
    let end = come;
    while (lines[end]?.[0] === "+") end++;
    if (count && end - come === count) {
      for (let one = 0; one < count; one++) {
        found
          .set(lines[gone + one], lines[come + one][1])
          .set(lines[come + one], lines[gone + one][1]);
      }
    }
    at = Math.max(at, end - 1);
  }
  return found;
}

function diffBlock(before, after) {
  const shown = hunks(diffLines(before, after));
  const other = partners(shown.filter((line) => typeof line !== "number"));
  const rows = shown.map((line) => {
    if (typeof line === "number") {
      return element("span", {
        className: "left-out",
        textContent: `${plural(line, "line")} as before`,
      });
    }
    const [mark, text] = line;
    const kind = { "-": "gone", "+": "come", " ": "" }[mark];
    if (!other.has(line))
      return element("span", { className: kind, textContent: `${mark} ${text}` });
    const [head, changed, tail] = splitAgainst(text, other.get(line));
    return element(
      "span",
      { className: kind },
      `${mark} ${head}`,
      element("mark", { textContent: changed }),
      tail,
    );
  });
  return element("pre", { className: "code diff", tabIndex: 0 }, rows);
}

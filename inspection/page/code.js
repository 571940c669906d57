// Code, with the words that lead the eye in colour.

const MOST_COLOURED = 80_000; // characters; more would make too many elements
const MOST_UNPACKED_BYTES = 16 << 20;

const KEYWORDS =
  "def return for in if else while import from as and or not is None True False " +
  "const auto int float void template struct func entry weight module";
const KINDS = {
  comment: /#(?!include)[^\n]*|\/\/[^\n]*|"""[^]*?"""/,
  string: /"(?:[^"\\\n]|\\.)*"/,
  name: /[%@][\w.]+/,
  word: new RegExp(`\\b(?:${KEYWORDS.replaceAll(" ", "|")})\\b`),
  number: /\b\d[\w.]*/,
};
const WORDS = new RegExp(
  Object.entries(KINDS)
    .map(([kind, found]) => `(?<${kind}>${found.source})`)
    .join("|"),
  "g",
);

function codeBlock(text) {
  const block = element("pre", { className: "code", tabIndex: 0 });
  if (text.length > MOST_COLOURED) {
    block.textContent = text;
    return block;
  }
  let end = 0;
  for (const found of text.matchAll(WORDS)) {
    const [kind] = Object.entries(found.groups).find(([, value]) => value !== undefined);
    block.append(text.slice(end, found.index));
    block.append(element("span", { className: `code-${kind}`, textContent: found[0] }));
    end = found.index + found[0].length;
  }
  block.append(text.slice(end));
  return block;
}

const numLines = (text) => plural(text.trimEnd().split("\n").length, "line");

// The text of a file compressed by gzip, in base64. Throws where it is none, or far too long.
async function unpacked(packed) {
  const whole = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([whole]).stream().pipeThrough(new DecompressionStream("gzip"));
  const decoder = new TextDecoder();
  let text = "";
  for (let reader = stream.getReader(), read; !(read = await reader.read()).done;) {
    text += decoder.decode(read.value, { stream: true });
    if (text.length > MOST_UNPACKED_BYTES) throw new Error("it is longer than 16 MiB");
  }
  return text;
}

function packedBlock(packed) {
  const block = element("div", { textContent: "…" });
  unpacked(packed)
    .then((text) => block.replaceChildren(codeBlock(text)))
    .catch((error) => (block.textContent = `It cannot be read: ${error.message}`));
  return block;
}

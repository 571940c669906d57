// The arena of a tape, at sizes of a step that can be changed.

const PICTURE_NOTE =
  "A bar is a value in its slot, from the launch that makes it to the last one that uses it; the " +
  "curve is the bytes of the slots that hold one. The tapes of all sizes share the arena.";
const NO_OPERANDS =
  "The manifest does not say which buffers the kernels of this tape write, so that nobody knows " +
  "what its slots hold.";
const SIZES = { T: "tokens", S: "sequences", R: "rows of logits", P: "pages of a sequence" };
const MOST = 1 << 20;

function sizeInput([symbol, title]) {
  const value = state.sizes[symbol];
  const input = element("input", { type: "number", min: 1, max: MOST, value });
  input.addEventListener("change", () => {
    state.sizes[symbol] = Math.max(1, Math.min(MOST, Math.round(Number(input.value)) || 1));
    drawMemory();
    drawLaunches();
  });
  return element("label", {}, element("b", { textContent: symbol }), input, quiet(title));
}

function drawMemory() {
  const has = tape().lives.length > 0;
  byId("memory").replaceChildren(
    element("div", { className: "sizes" }, Object.entries(SIZES).map(sizeInput)),
    has ? element("div", { className: "picture", tabIndex: 0 }, arenaPicture()) : "",
    element("p", { className: "quiet", textContent: has ? PICTURE_NOTE : NO_OPERANDS }),
  );
}

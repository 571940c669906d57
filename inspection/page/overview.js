// What the artifact is, on one screen.

function tile(value, title, note) {
  return element(
    "div",
    { className: "tile" },
    element("strong", { textContent: value }),
    element("span", { textContent: title }),
    quiet(note ?? ""),
  );
}

function decodeTape() {
  return target().tapes.find((one) => one.name.startsWith("step")) ?? target().tapes[0];
}

const runsText = (runs) =>
  runs
    .map(({ count, launches }) => (count > 1 ? `${count} × ${launches.length}` : launches.length))
    .join(" + ");

function certificateTile() {
  const found = facts.certificate;
  if (!found) return tile("none", "certificate", "tapeout verify writes one");
  const isOfThis = found.manifest_digest === facts.digest;
  const verdict = found.passed ? "passed" : "failed";
  return isOfThis
    ? tile(verdict, "verification", found.device ?? "on no device")
    : tile("other", "certificate", "of another manifest");
}

function timeTile(first) {
  if (!first || !state.card) return null;
  return tile(
    duration(totalTime(timedLaunches(first))),
    `${first.name} on ${state.card}`,
    `predicted, ${stepText(first.step)}`,
  );
}

function overviewTiles() {
  const { weights, weights_bytes, kernels, cache_groups, levels } = target();
  const first = decodeTape();
  const perToken = cache_groups.reduce((sum, group) => sum + group.bytes_per_token, 0);
  const layers = cache_groups.reduce((sum, group) => sum + group.layers, 0);
  return element(
    "div",
    { className: "tiles" },
    tile(bytes(weights_bytes), "of weights in memory", plural(weights, "tensor")),
    tile(number(kernels.length), "kernels", levels.join(", ") || `for ${state.target}`),
    first && tile(number(first.num_launches), `launches in ${first.name}`, runsText(first.runs)),
    timeTile(first),
    tile(bytes(perToken), "of cache a token", plural(layers, "layer")),
    certificateTile(),
  );
}

function modelFacts() {
  const { model } = facts;
  const groups = target().cache_groups.map(
    ({ name, layers, window, page_size_tokens }) =>
      `${name}: ${plural(layers, "layer")}, pages of ${page_size_tokens} tokens, ` +
      (window ? `window of ${number(window)}` : "no window"),
  );
  return definitions([
    ["Architecture", model.architecture],
    ["Type", model.dtype],
    ["Vocabulary", number(model.vocab_size)],
    ["Positions", number(model.max_position_embeddings)],
    ["Ends at", model.eos_token_ids.join(", ") || "no token"],
    ["Cache", groups.join("; ") || "none"],
    ["A row's bits", target().batch_invariant ? "the same in any batch" : "depend on its batch"],
  ]);
}

function diskBar() {
  const most = facts.folders.slice(0, 8);
  const parts = most.map((folder, place) => {
    const part = element("i", { title: `${folder.name}: ${bytes(folder.bytes)}` });
    part.style.flexGrow = folder.bytes / facts.bytes;
    part.style.setProperty("--place", place);
    return part;
  });
  const rows = facts.folders.map(({ name, files, bytes: size }, place) => {
    const mark = element("i", { className: "mark" });
    mark.style.setProperty("--place", Math.min(place, most.length));
    const title = name === "." ? "manifest, graph, tokenizer" : `${name}/`;
    const path = element("span", { className: "name" }, mark, code(title));
    return tableRow([path, plural(files, "file"), bytes(size)]);
  });
  return [
    element("div", { className: "bar", aria: { hidden: true } }, parts),
    element("table", { className: "plain" }, element("tbody", {}, rows)),
  ];
}

function titleHeader() {
  const { architecture, dtype } = facts.model;
  const title = "Digest of the manifest, which has those of all files";
  return element(
    "header",
    { className: "title" },
    element("h1", { textContent: facts.name }),
    element("p", { className: "quiet" }, `${architecture} · ${dtype} · ${state.target}`),
    element("p", { className: "digest", title }, code(facts.digest)),
  );
}

addPart("overview", "Overview", () => [
  titleHeader(),
  overviewTiles(),
  element(
    "div",
    { className: "columns" },
    card("Model", modelFacts()),
    card("Built by", definitions(Object.entries(facts.tool))),
    card(`On disk: ${bytes(facts.bytes)}`, ...diskBar()),
  ),
]);

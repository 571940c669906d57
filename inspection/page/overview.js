// What the artifact is, on one screen.

function tile(value, title, note) {
  return element(
    "div", { className: "tile" },
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
  if (found.manifest_digest !== facts.digest) return tile("other", "certificate", "of another manifest");
  return tile(found.passed ? "passed" : "failed", "verification", found.device ?? "on no device");
}

function timeTile(first) {
  if (!first || !state.card) return null;
  return tile(duration(totalTime(timedLaunches(first))), `${first.name} on ${state.card}`, `predicted, ${stepText(first.step)}`);
}

function overviewTiles() {
  const { weights, weights_bytes, kernels, cache_groups, batch_invariant, levels } = target();
  const first = decodeTape();
  const perToken = cache_groups.reduce((sum, group) => sum + group.bytes_per_token, 0);
  const layers = cache_groups.reduce((sum, group) => sum + group.layers, 0);
  return element(
    "div", { className: "tiles" },
    tile(bytes(weights_bytes), "of weights", plural(weights, "tensor")),
    tile(number(kernels.length), "kernels", levels.join(", ") || `for ${state.target}`),
    first && tile(number(first.num_launches), `launches in ${first.name}`, runsText(first.runs)),
    timeTile(first),
    tile(bytes(perToken), "of cache a token", plural(layers, "layer")),
    tile(batch_invariant ? "yes" : "no", "batch-invariant", batch_invariant ? "a row has the same bits in any batch" : "a row's bits depend on its batch"),
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
    const cells = [element("span", { className: "name" }, mark, code(title)), plural(files, "file"), bytes(size)];
    return element("tr", {}, cells.map((cell) => element("td", {}, cell)));
  });
  return [
    element("div", { className: "bar", aria: { hidden: true } }, parts),
    element("table", { className: "plain" }, element("tbody", {}, rows)),
  ];
}

addPart("overview", "Overview", () => [
  element(
    "header", { className: "title" },
    element("h1", { textContent: facts.name }),
    element("p", { className: "quiet" }, `${facts.model.architecture} · ${facts.model.dtype} · ${state.target}`),
    element("p", { className: "digest", title: "Digest of the manifest, which has those of all files" }, code(facts.digest)),
  ),
  overviewTiles(),
  element(
    "div", { className: "columns" },
    element("div", { className: "card" }, element("h3", { textContent: "Model" }), modelFacts()),
    element("div", { className: "card" }, element("h3", { textContent: "Built by" }), definitions(Object.entries(facts.tool))),
    element("div", { className: "card" }, element("h3", { textContent: `On disk: ${bytes(facts.bytes)}` }), diskBar()),
  ),
]);

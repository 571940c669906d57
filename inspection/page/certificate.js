// What verification has found, as it stands beside the artifact.

const small = (value) => Number(value.toPrecision(3)).toString();

const verdict = (passed, text) =>
  element("span", { className: passed ? "verdict good" : "verdict bad", textContent: text });

function checkRow({ name, status, detail }) {
  const mark = status === "not done" ? quiet(status) : verdict(status === "passed", status);
  return [name, mark, detail];
}

// How much of what is allowed was used up.
function limitCell(error, limit) {
  return element(
    "span",
    { className: "occupancy" },
    meter(error / limit),
    `${small(error)} of ${small(limit)}`,
  );
}

function kernelErrors(kernels) {
  const rows = kernels.map(({ kernels: names, result, error, limit, num_compared: count }) => [
    names.map(kernelLink),
    code(result),
    limitCell(error, limit),
    number(count),
  ]);
  return simpleTable(["Kernels", "Result", "Error", "Compared"], rows);
}

function layerErrors(layers) {
  const rows = layers.map(({ layer, kernels, error, limit }) => [
    layer === null ? "none" : number(layer),
    kernels.map(kernelLink),
    limitCell(error, limit),
  ]);
  return simpleTable(["Layer", "Worst kernels", "Error"], rows);
}

function logitsTable(logits) {
  const beside = (value, rounded) => [small(value), quiet(` (${small(rounded)})`)];
  const rows = logits.map((one) => [
    one.steps,
    number(one.num_rows),
    verdict(one.passed, one.passed ? "passed" : "failed"),
    beside(one.distance, one.distance_of_rounded),
    beside(one.kl, one.kl_of_rounded),
    beside(one.top1, one.top1_of_rounded),
  ]);
  return simpleTable(["Logits of", "Rows", "", "Distance", "KL, nats", "Top-1"], rows);
}

function certificateFacts(found) {
  return definitions([
    ["Verdict", verdict(found.passed, found.passed ? "passed" : "failed")],
    [
      "Of",
      found.manifest_digest === facts.digest
        ? "this manifest"
        : verdict(false, `another manifest, ${found.manifest_digest}`),
    ],
    ["Target", found.target],
    ["Device", found.device],
    ["Checkpoint", found.checkpoint],
    ["tapeout", found.tapeout],
  ]);
}

function certificateCard(found) {
  return element(
    "div",
    { className: "card certificate" },
    certificateFacts(found),
    found.faults.map((fault) => element("p", { className: "fault", textContent: fault })),
    simpleTable(["Check", "", ""], found.checks.map(checkRow)),
    found.logits.length ? logitsTable(found.logits) : null,
    found.logits.length
      ? element("p", {
          className: "quiet",
          textContent: "In brackets: the reference in the model's own type.",
        })
      : null,
    found.layers.length
      ? fold("Layers", plural(found.layers.length, "layer"), () => layerErrors(found.layers))
      : null,
    found.kernels.length
      ? fold("Kernels", "error, relative to a row, of what is allowed", () =>
          kernelErrors(found.kernels),
        )
      : null,
  );
}

addPart("certificate", "Certificate", () => [
  heading(
    "Certificate",
    "How far the artifact is from the reference, on the device that it was verified on.",
  ),
  facts.certificate
    ? certificateCard(facts.certificate)
    : element(
        "p",
        { className: "card quiet" },
        "There is none beside the artifact; ",
        code("tapeout verify"),
        " writes one.",
      ),
]);

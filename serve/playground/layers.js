// The compiled model: its kernels in the order of a step, each with its math.

import { getJson } from "./api.js";
import { byId, element } from "./dom.js";

export async function showModel() {
  const model = await getJson("playground/model");
  const context = `${model.max_model_len.toLocaleString()} tokens of context`;
  const weights = `${(model.weights_bytes / 2 ** 20).toFixed(0)} MiB of weights`;
  const facts = [model.name, model.architecture, model.target, weights, context];
  byId("model").textContent = facts.join(" · ");
  document.title = `${model.name} · tapeout playground`;
  byId("sections").replaceChildren(...model.sections.map(sectionElement));
}

function sectionElement({ name, count, regions }) {
  const times = count > 1 ? ` × ${count}` : "";
  const title = element("h3", { textContent: `${name}${times}` });
  const className = count > 1 ? "section repeated" : "section";
  return element("section", { className }, title, ...regions.map(regionElement));
}

function regionElement({ name, anchor, math, kernels }) {
  const head = element(
    "summary", {},
    element("code", { textContent: name }),
    element("span", { className: "anchor", textContent: anchor }),
  );
  const textContent = kernels.map(kernelText).join("\n");
  const compiled = element("p", { className: "quiet", textContent });
  return element("details", {}, head, element("pre", { textContent: math }), compiled);
}

function kernelText({ name, flops, bytes }) {
  const work = [flops && `${flops} FLOPs`, bytes && `${bytes} bytes`].filter(Boolean);
  return [name, ...work].join(" · ");
}

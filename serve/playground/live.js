// How the server stands: three plots of the last minute, and its facts.

import { getJson } from "./api.js";
import { byId, element, svgElement } from "./dom.js";

const INTERVAL_MS = 500;
const NUM_POINTS = 120;

class Plot {
  constructor(title) {
    this.values = [];
    this.output = element("output", { textContent: "–" });
    this.line = svgElement("polyline", { points: "" });
    this.area = svgElement("polygon", { points: "" });
    const svg = svgElement("svg", { viewBox: "0 0 119 74", preserveAspectRatio: "none" });
    svg.append(this.area, this.line);
    this.root = element("div", { className: "plot" }, element("h3", {}, title, this.output), svg);
  }

  add(value, most, text) {
    this.values = [...this.values, value].slice(-NUM_POINTS);
    this.output.textContent = text;
    const top = most || Math.max(1, ...this.values);
    const start = NUM_POINTS - this.values.length;
    const points = this.values.map((v, i) => `${start + i},${(70 - (v / top) * 64).toFixed(1)}`);
    this.line.setAttribute("points", points.join(" "));
    this.area.setAttribute("points", `${start},72 ${points.join(" ")} 119,72`);
  }
}

export function watchServer() {
  const plots = {
    batch: new Plot("Sequences running"),
    pages: new Plot("KV pages in use"),
    tokens: new Plot("Tokens a second"),
  };
  byId("plots").append(...Object.values(plots).map((plot) => plot.root));
  let before = null;
  const look = async () => {
    before = await update(plots, before);
    setTimeout(look, document.hidden ? 4 * INTERVAL_MS : INTERVAL_MS);
  };
  look();
}

// Gives what was told now, for the next time.
async function update(plots, before) {
  try {
    const now = await getJson("playground/load");
    setState(now.is_ready, now.is_ready ? "ready" : "not ready");
    if (now.load) show(plots, now, before);
    return now;
  } catch {
    setState(false, "no answer");
    return null;
  }
}

function show(plots, { time_s: time, load }, before) {
  const used = load.num_kv_pages - load.num_free_kv_pages;
  plots.batch.add(load.num_running, 0, `${load.num_running} of ${load.max_num_seqs}`);
  plots.pages.add(used, load.num_kv_pages, `${used} of ${load.num_kv_pages}`);
  if (before?.load && time > before.time_s && load.num_tokens >= before.load.num_tokens) {
    const rate = (load.num_tokens - before.load.num_tokens) / (time - before.time_s);
    plots.tokens.add(rate, 0, rate.toFixed(0));
  }
  byId("facts").replaceChildren(
    ...fact("Sequences waiting", load.num_waiting),
    ...fact("Steps", load.num_steps.toLocaleString()),
    ...fact("Tokens", load.num_tokens.toLocaleString()),
    ...fact("Preemptions", load.num_preemptions),
    ...fact("Engine restarts", load.num_restarts),
  );
}

function fact(name, value) {
  return [element("dt", { textContent: name }), element("dd", { textContent: value })];
}

function setState(isReady, text) {
  byId("state").dataset.ready = isReady;
  byId("state").textContent = text;
}

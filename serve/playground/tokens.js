// Tokens of answers: coloured by how unlikely they were, and what else might have come.

import { byId, element } from "./dom.js";

const SURPRISE_LOGPROB = -5; // as unlikely as this has the full colour

const entries = new WeakMap(); // of a token's element

// An element for each token of an entry in `logprobs.content`.
export function tokenElement(entry) {
  const token = element("span", { className: "token", textContent: entry.token });
  token.style.setProperty("--surprise", Math.min(1, entry.logprob / SURPRISE_LOGPROB));
  entries.set(token, entry);
  return token;
}

export function watchTokens(messages) {
  messages.addEventListener("mouseover", (event) => showTip(event.target));
  messages.addEventListener("mouseleave", hideTip);
  messages.addEventListener("scroll", hideTip);
  messages.addEventListener("focusout", () => choose(null));
  messages.addEventListener("keydown", walk);
}

// The arrow keys walk through the tokens of the answer that has the focus.
function walk(event) {
  const steps = { ArrowRight: 1, ArrowLeft: -1 };
  const body = event.target.closest(".body");
  if (!body || !(event.key in steps)) return;
  const all = [...body.querySelectorAll(".token")];
  if (!all.length) return;
  const at = all.findIndex((token) => token.classList.contains("chosen"));
  choose(all[Math.max(0, Math.min(all.length - 1, at + steps[event.key]))]);
  event.preventDefault();
}

function choose(token) {
  document.querySelector(".token.chosen")?.classList.remove("chosen");
  token?.classList.add("chosen");
  if (token) showTip(token);
  else hideTip();
}

function showTip(token) {
  const entry = entries.get(token);
  if (!entry) return hideTip();
  const tip = byId("tip");
  tip.replaceChildren(table(entry));
  tip.hidden = false;
  const at = token.getBoundingClientRect();
  const left = Math.min(at.left, innerWidth - tip.offsetWidth - 8);
  const above = at.top - tip.offsetHeight - 6;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above > 8 ? above : at.bottom + 6}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}

function table(entry) {
  const others = entry.top_logprobs.filter((other) => other.token !== entry.token);
  const rows = [entry, ...others].sort((one, other) => other.logprob - one.logprob);
  return element("table", {}, ...rows.map((row) => tableRow(row, row === entry)));
}

function tableRow({ token, logprob }, came) {
  const share = `${(Math.exp(logprob) * 100).toFixed(1)} %`;
  const cells = [JSON.stringify(token), share, (logprob || 0).toFixed(2).replace("-0.00", "0.00")];
  const made = cells.map((text) => element("td", { textContent: text }));
  return element("tr", { className: came ? "came" : "" }, ...made);
}

// Joins the page's parts: keys, buttons and tabs.

import { clearChat, say, stopAnswer } from "./chat.js";
import { byId, element } from "./dom.js";
import { showModel } from "./layers.js";
import { watchServer } from "./live.js";
import { rememberSettings } from "./settings.js";
import { watchTokens } from "./tokens.js";

const SUGGESTIONS = ["Hello! Who are you?", "Sort these words: pear fig apple", "What is 17 + 25?"];

function send() {
  const prompt = byId("prompt");
  const text = prompt.value;
  prompt.value = "";
  say(text);
}

function onKey(event) {
  if (event.key === "Escape") {
    stopAnswer();
    setPanel(false);
  } else if (event.key === "k" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    beginChat();
  }
}

function beginChat() {
  clearChat();
  byId("prompt").focus();
}

function setPanel(isOpen) {
  byId("panel").classList.toggle("open", isOpen);
  byId("open-panel").setAttribute("aria-expanded", isOpen);
}

function choose(tab) {
  for (const other of tabs) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", isChosen);
    other.tabIndex = isChosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
}

function walkTabs(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  choose(next);
  next.focus();
}

const tabs = [...document.querySelectorAll('[role="tab"]')];
for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", walkTabs);
}
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
byId("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (byId("stop").hidden) send();
  }
});
byId("settings").addEventListener("submit", (event) => event.preventDefault());
byId("stop").addEventListener("click", stopAnswer);
byId("clear").addEventListener("click", beginChat);
byId("open-panel").addEventListener("click", () => {
  setPanel(!byId("panel").classList.contains("open"));
});
byId("show-tokens").addEventListener("change", (event) => {
  byId("messages").classList.toggle("show-tokens", event.target.checked);
});
document.addEventListener("keydown", onKey);
for (const text of SUGGESTIONS) {
  const onclick = () => say(text);
  byId("suggestions").append(element("button", { type: "button", textContent: text, onclick }));
}

rememberSettings();
watchTokens(byId("messages"));
watchServer();
showModel().catch((error) => (byId("model").textContent = error.message));

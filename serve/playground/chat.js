// The chat: what was said so far, and the answer that comes.

import { streamChat } from "./api.js";
import { Answer } from "./answer.js";
import { byId, element } from "./dom.js";
import { requestFields, systemMessages } from "./settings.js";

let history = []; // messages as the server reads them
let running = null; // what stops the answer that comes

export function clearChat() {
  stopAnswer();
  history = [];
  byId("messages").replaceChildren(welcome);
}

const welcome = byId("welcome");

export async function say(text) {
  if (running || !text.trim()) return;
  welcome.remove();
  const body = element("div", { className: "body", textContent: text });
  show(element("article", { className: "message user" }, body));
  await answer([...history, { role: "user", content: text }]);
}

export function stopAnswer() {
  running?.abort();
}

async function answer(messages) {
  let fields;
  try {
    fields = requestFields();
    byId("settings-error").textContent = "";
  } catch (error) {
    byId("settings-error").textContent = error.message;
    return fail(error.message);
  }
  const own = new AbortController();
  const made = new Answer();
  setRunning(own);
  show(made.root);
  try {
    const body = { messages: [...systemMessages(), ...messages], ...fields };
    await inFrames(streamChat(body, own.signal), (chunks) => {
      keepingInView(() => chunks.forEach((chunk) => made.add(chunk)));
    });
    made.end();
  } catch (error) {
    made.end(own.signal.aborted ? "stopped" : null);
    if (!own.signal.aborted) fail(error.message);
  }
  setRunning(null);
  if (!made.root.isConnected) return; // a new chat was begun
  history = made.content || made.calls.length ? [...messages, made.message()] : history;
  askForResults(made);
}

// A field under each call for what the tool gives; with the last of them the model goes on.
function askForResults(made) {
  const results = new Map();
  for (const call of made.calls) {
    const input = element("input", { placeholder: "What the tool gives", required: true });
    input.setAttribute("aria-label", `Result of ${call.function.name}`);
    const form = element("form", {}, input, element("button", { textContent: "Give result" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      results.set(call.id, input.value);
      form.replaceWith(element("pre", { textContent: `→ ${input.value}` }));
      if (results.size === made.calls.length) answer([...history, ...toolMessages(results)]);
    });
    call.root.append(form);
  }
  made.calls[0]?.root.querySelector("input").focus();
}

const toolMessages = (results) =>
  [...results].map(([id, content]) => ({ role: "tool", tool_call_id: id, content }));

function fail(reason) {
  const text = element("div", { className: "body error", textContent: reason });
  const root = element("article", { className: "message" }, text);
  root.setAttribute("role", "alert");
  show(root);
}

function show(root) {
  byId("messages").append(root);
  root.scrollIntoView({ block: "end" });
}

// Gives what has come once for each frame that is drawn: a fast model has many tokens in one.
async function inFrames(chunks, take) {
  let come = [];
  const flush = () => {
    const given = come;
    come = [];
    if (given.length) take(given);
  };
  try {
    for await (const chunk of chunks) {
      if (come.push(chunk) === 1) requestAnimationFrame(flush);
    }
  } finally {
    flush();
  }
}

// Scrolls along, unless the reader has scrolled up.
function keepingInView(change) {
  const box = byId("messages");
  const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  change();
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

function setRunning(controller) {
  running = controller;
  byId("stop").hidden = !controller;
  byId("send").hidden = Boolean(controller);
}

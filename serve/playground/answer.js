// One answer on its way: its text as tokens, its thoughts, its tool calls.

import { element } from "./dom.js";
import { tokenElement } from "./tokens.js";

export class Answer {
  constructor() {
    this.content = "";
    this.calls = [];
    this.finishReason = null;
    this.usage = null;
    this.begun = performance.now();
    this.first = null;
    this.waiting = []; // tokens whose text has not come yet
    this.body = element("div", { className: "body", tabIndex: 0 });
    this.body.setAttribute("aria-label", "Answer; the arrow keys walk through its tokens");
    this.meta = element("div", { className: "meta" });
    this.root = element("article", { className: "message assistant busy" }, this.body, this.meta);
  }

  add(chunk) {
    this.usage = chunk.usage ?? this.usage;
    const choice = chunk.choices[0];
    if (!choice) return;
    const { delta } = choice;
    this.finishReason = choice.finish_reason ?? this.finishReason;
    if (delta.reasoning_content) this.addThoughts(delta.reasoning_content);
    if (delta.content || choice.logprobs) this.addText(delta.content ?? "", choice.logprobs);
    for (const call of delta.tool_calls ?? []) this.addCall(call);
    const hasCome = delta.content || delta.reasoning_content || delta.tool_calls;
    if (hasCome) this.first ??= performance.now();
  }

  // Ends it; `reason` is told in place of the model's.
  end(reason) {
    this.root.classList.remove("busy");
    const parts = [reason ?? this.finishReason];
    if (this.usage) {
      const { completion_tokens: count, prompt_tokens: read } = this.usage;
      const seconds = (performance.now() - this.begun) / 1000;
      parts.push(`${count} tokens in ${seconds.toFixed(2)} s`, `${read} read`);
      if (this.first) parts.push(`first after ${(this.first - this.begun).toFixed(0)} ms`);
    }
    this.meta.textContent = parts.filter(Boolean).join(" · ");
  }

  // As the server reads it in the next request.
  message() {
    const message = { role: "assistant", content: this.content };
    if (this.calls.length) message.tool_calls = this.calls.map(({ root, ...call }) => call);
    return message;
  }

  addText(text, logprobs) {
    this.waiting.push(...(logprobs?.content ?? []));
    if (!text) return;
    this.content += text;
    const tokens = this.tokensOf(text);
    this.body.append(...(tokens ? tokens.map(tokenElement) : [text]));
  }

  // The waiting tokens that make up a text; what is behind them, as the one that ends an answer,
  // has no text. None if they do not make it up: a stop string was cut off, say.
  tokensOf(text) {
    let count = 0;
    for (let told = ""; told.length < text.length && count < this.waiting.length; count++) {
      told += this.waiting[count].token;
      if (told === text) return this.waiting.splice(0, count + 1);
    }
    this.waiting = [];
    return null;
  }

  addThoughts(text) {
    if (!this.thoughts) {
      this.thoughts = element("div", { className: "thoughts" });
      this.body.before(this.thoughts);
    }
    this.thoughts.append(text);
  }

  addCall({ index, id, function: told }) {
    this.waiting = [];
    if (!this.calls[index]) {
      const root = element("div", { className: "call" }, element("strong"), element("pre"));
      this.calls[index] = { id, type: "function", function: { name: "", arguments: "" }, root };
      this.meta.before(root);
    }
    const call = this.calls[index];
    call.function.name += told.name ?? "";
    call.function.arguments += told.arguments ?? "";
    call.root.querySelector("strong").textContent = call.function.name;
    call.root.querySelector("pre").textContent = call.function.arguments;
  }
}

// What the settings ask for, as fields of a request.

import { byId } from "./dom.js";

const REMEMBERED = [
  ...["system", "temperature", "top-p", "top-k", "seed", "max-tokens", "top-logprobs"],
  ...["schema", "tools", "tool-choice"],
];

// Fields of a request. Throws an error that names what cannot be read.
export function requestFields() {
  const fields = {
    temperature: number("temperature"),
    top_p: number("top-p"),
    top_k: number("top-k"),
    seed: number("seed"),
    max_completion_tokens: number("max-tokens"),
    logprobs: true,
    top_logprobs: number("top-logprobs") ?? 0,
  };
  const schema = json("schema", "the schema");
  if (schema) {
    const format = { name: "answer", schema, strict: true };
    fields.response_format = { type: "json_schema", json_schema: format };
  }
  const tools = json("tools", "the list of tools");
  if (tools?.length) {
    const wrapped = (tool) => ({ type: "function", function: tool });
    fields.tools = tools.map((tool) => (tool.function ? tool : wrapped(tool)));
    fields.tool_choice = byId("tool-choice").value;
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

export function systemMessages() {
  const content = byId("system").value.trim();
  return content ? [{ role: "system", content }] : [];
}

// Settings stay for the time that the tab is open.
export function rememberSettings() {
  for (const id of REMEMBERED) {
    const field = byId(id);
    field.value = sessionStorage.getItem(id) ?? field.value;
    field.addEventListener("input", () => sessionStorage.setItem(id, field.value));
  }
}

function number(id) {
  const { value } = byId(id);
  return value === "" ? null : Number(value);
}

function json(id, name) {
  const text = byId(id).value.trim();
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is not JSON: ${error.message}`);
  }
}

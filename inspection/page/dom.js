// Small helpers for making elements; text is never read as HTML.

const byId = (id) => document.getElementById(id);

// An element; `children` are nodes or texts, and what is null or false is left out.
function element(name, properties = {}, ...children) {
  const { data = {}, aria = {}, ...own } = properties;
  const made = Object.assign(document.createElement(name), own);
  Object.assign(made.dataset, data);
  for (const [key, value] of Object.entries(aria)) made.setAttribute(`aria-${key}`, value);
  made.append(...children.flat().filter((child) => child !== null && child !== false));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

function svgElement(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat());
  return made;
}

const quiet = (text) => element("span", { className: "quiet", textContent: text });

// Names that are long may go on in a new line behind each underscore.
function code(name) {
  const parts = name.split(/(?<=_)/).flatMap((part) => [element("wbr"), part]);
  return element("code", {}, parts.slice(1));
}

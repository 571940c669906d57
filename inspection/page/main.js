// Puts the parts into the page, and follows its address.

const SCHEMES = ["system", "light", "dark"];

function drawAll() {
  for (const part of parts) part.draw();
  drawTable();
  drawTape();
  showPasses();
}

function showAddress() {
  const name = decodeURIComponent(location.hash.slice(1));
  if (name.startsWith("kernel/")) showKernel(name.slice("kernel/".length));
}

function watchSections(links) {
  const seen = new Set();
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target: part, isIntersecting } of entries) {
        if (isIntersecting) seen.add(part.id);
        else seen.delete(part.id);
      }
      const first = parts.find(({ id }) => seen.has(id));
      for (const link of links) link.toggleAttribute("aria-current", link.hash === `#${first?.id}`);
    },
    { rootMargin: "-20% 0px -60% 0px" },
  );
  for (const { root } of parts) watcher.observe(root);
}

function setUpNavigation() {
  const links = parts.map(({ id, title }) => element("a", { href: `#${id}`, textContent: title }));
  byId("sections").append(...links);
  watchSections(links);
  const names = Object.keys(facts.targets);
  byId("targets").hidden = names.length < 2;
  byId("target").append(...names.map((name) => element("option", { textContent: name })));
  byId("target").addEventListener("change", (event) => {
    chooseTarget(event.target.value);
    drawAll();
  });
  byId("scheme").addEventListener("click", ({ target: button }) => {
    const next = SCHEMES[(SCHEMES.indexOf(button.textContent.split(" ")[1]) + 1) % SCHEMES.length];
    button.textContent = `Theme: ${next}`;
    document.documentElement.style.colorScheme = next === "system" ? "" : next;
  });
  byId("nav").hidden = false;
}

byId("main").append(...parts.map(({ root }) => root));
drawAll();
setUpNavigation();
addEventListener("hashchange", showAddress);
showAddress();

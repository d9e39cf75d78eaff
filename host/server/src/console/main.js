// Which page is shown, and to whom.

import { ask, token } from "/console/api.js";
import { button, element, problem } from "/console/dom.js";
import { login } from "/console/login.js";
import * as changes from "/console/changes.js";
import * as letters from "/console/letters.js";
import * as pipeline from "/console/pipeline.js";
import * as pipelines from "/console/pipelines.js";
import * as plugins from "/console/plugins.js";
import * as rows from "/console/rows.js";
import * as shadow from "/console/shadow.js";
import * as versions from "/console/versions.js";

// Each page has a title, and shows itself until the signal says that another one is wanted.
const PAGES = [
  [/^#\/pipelines$/, pipelines],
  [/^#\/pipelines\/([^/]+)$/, pipeline],
  [/^#\/pipelines\/([^/]+)\/steps\/([^/]+)$/, rows],
  [/^#\/pipelines\/([^/]+)\/steps\/([^/]+)\/shadow$/, shadow],
  [/^#\/pipelines\/([^/]+)\/dead-letters$/, letters],
  [/^#\/pipelines\/([^/]+)\/versions$/, versions],
  [/^#\/plugins$/, plugins],
  [/^#\/changes$/, changes],
];

const content = document.getElementById("content");
let shown = new AbortController();

const find = hash => {
  for (const [pattern, page] of PAGES) {
    const found = pattern.exec(hash);
    if (found) return [page, found.slice(1).map(decodeURIComponent)];
  }
  return [pipelines, []];
};

const mark = hash => {
  for (const entry of document.querySelectorAll("nav a")) {
    const here = entry.getAttribute("href");
    if (hash === here || hash.startsWith(`${here}/`)) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
};

const showCaller = caller => {
  const forget = button("Forget token", () => { token.forget(); location.reload(); });
  const name = caller.name ? [element("span", {}, `${caller.name}, ${caller.role}`), forget] : [];
  document.getElementById("caller").replaceChildren(...name);
};

const show = async caller => {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const hash = location.hash || "#/pipelines";
  const [page, parameters] = find(hash);
  const title = page.title(...parameters);
  document.title = `${title} – Azenha`;
  mark(hash);
  const view = element("div", { class: "page" });
  content.replaceChildren(element("h1", { tabindex: -1 }, title), view);
  try {
    await page.show(view, { parameters, signal, caller });
  } catch (error) {
    if (!signal.aborted) view.prepend(problem(error));
  }
};

const start = async () => {
  const caller = await ask("/whoami");
  if (!caller.role) return login(content);
  showCaller(caller);
  addEventListener("hashchange", () => {
    show(caller);
    // Whoever goes by keyboard or listens goes on where the page begins.
    content.querySelector("h1").focus();
  });
  await show(caller);
};

// A link within the page: its address is no page of its own.
document.querySelector(".skip").addEventListener("click", event => {
  event.preventDefault();
  content.focus();
});

const silence = document.getElementById("silence");
addEventListener("answered", () => { silence.hidden = true; });
addEventListener("unanswered", () => { silence.hidden = false; });

addEventListener("unauthorized", () => {
  shown.abort();
  document.getElementById("caller").replaceChildren();
  login(content);
});

start().catch(error => content.replaceChildren(problem(error)));

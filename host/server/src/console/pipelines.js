// Every pipeline, and how it does.

import { ask, every, path } from "/console/api.js";
import { element, empty, link, state } from "/console/dom.js";

export const title = () => "Pipelines";

const card = ({ name, state: now, version, file, error }) =>
  element("li", { class: "card" },
    element("h2", {}, link(`#${path("pipelines", name)}`, name)),
    element("p", {}, state(now), " ",
      element("span", { class: "quiet" }, version ? `version ${version}` : file ? `from ${file}` : "")),
    error ? element("p", { class: "error" }, error) : null);

export const show = (view, { signal }) => every(2_000, signal, async () => {
  const pipelines = await ask("/pipelines", { signal });
  const focused = document.activeElement?.getAttribute("href");
  view.replaceChildren(pipelines.length
    ? element("ul", { class: "cards" }, pipelines.map(card))
    : empty("Nothing runs here. `azenha pipeline apply FILE` defines a pipeline."));
  if (focused) view.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
});

// The versions of a pipeline.

import { ask, path } from "/console/api.js";
import { element, empty } from "/console/dom.js";
import { time } from "/console/format.js";
import { tabs } from "/console/pipeline.js";

export const title = name => `Versions of ${name}`;

export const show = async (view, { parameters: [name], signal }) => {
  view.append(tabs(name, "Versions"));
  const { version, definition, file } = await ask(path("pipelines", name), { signal });
  if (!definition) {
    view.append(empty(`The file ${file} defines this pipeline: it has no versions.`));
    return;
  }
  const plugins = Object.entries(definition.plugins).map(([plugin, digest]) =>
    element("li", {}, plugin, " ", element("code", {}, digest.slice(0, 12))));
  view.append(
    element("h2", {}, `Version ${version}`),
    element("p", { class: "quiet" }, `${time(definition.at)} UTC`, definition.by ? `, by ${definition.by}` : ""),
    plugins.length ? element("ul", {}, plugins) : "",
    element("pre", { tabindex: 0, "aria-label": "The definition" }, definition.text));
};

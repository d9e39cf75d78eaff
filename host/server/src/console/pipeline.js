// One pipeline as a graph, with what flows through it now.

import { ask, every, path } from "/console/api.js";
import { button, element, problem, state, tabs as pageTabs } from "/console/dom.js";
import { Graph } from "/console/graph.js";

export const title = name => name;

/** The pages of a pipeline. */
export const tabs = (name, here) => pageTabs("Pipeline", [["Graph", path("pipelines", name)],
  ["Dead letters", path("pipelines", name, "dead-letters")], ["Versions", path("pipelines", name, "versions")]], here);

const actions = (name, caller, told) => {
  if (caller.role === "viewer") return null;
  const does = what => async () => {
    try {
      await ask(path("pipelines", name, what), { method: "POST" });
      told.replaceChildren();
    } catch (error) {
      told.replaceChildren(problem(error));
    }
  };
  const names = [["Pause", "pause"], ["Resume", "resume"], ["Restart", "restart"]];
  return element("div", { class: "actions", role: "group", "aria-label": "Actions" },
    names.map(([label, what]) => button(label, does(what))));
};

const summary = ({ state: now, version, file, definition, error, note }) => [
  state(now), " ",
  element("span", { class: "quiet" }, version ? `version ${version}` : `from ${file}`,
    definition?.by ? `, changed by ${definition.by}` : ""),
  note ? element("p", { class: "note" }, note) : null,
  error ? element("p", { class: "error" }, error) : null,
].filter(Boolean);

export const show = async (view, { parameters: [name], signal, caller }) => {
  const [head, told, graph] = [element("div", { class: "summary" }), element("div"), new Graph(name)];
  const tools = element("div", { class: "bar" }, head, actions(name, caller, told));
  view.append(tabs(name, "Graph"), tools, told, graph.element);
  let drawn = null;
  await every(1_000, signal, async () => {
    const [pipeline, candidates] = await Promise.all(
      [path("pipelines", name), path("pipelines", name, "shadows")].map(of => ask(of, { signal })));
    head.replaceChildren(...summary(pipeline));
    const isLoaded = !["failed", "starting"].includes(pipeline.state);
    if (isLoaded && drawn !== pipeline.version) {
      graph.draw(await ask(path("pipelines", name, "graph"), { signal }));
      drawn = pipeline.version;
    }
    graph.update(pipeline.tasks, candidates);
  });
};

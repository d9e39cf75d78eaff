// Other code for a step, tried beside what runs: begun, watched, and put into force or thrown away.

import { ask, every, path } from "/console/api.js";
import { Comparison } from "/console/comparison.js";
import { button, element, empty } from "/console/dom.js";
import { digest } from "/console/format.js";
import { findStep, stepPath, stepTabs } from "/console/step.js";
import { Changes } from "/console/swap.js";

export const title = (pipeline, step) => `Beside ${step} of ${pipeline}`;

/** A field and its name. */
const field = (id, label, name, attributes, ...children) => {
  const input = element(name, { id, ...attributes }, ...children);
  return { input, parts: [element("label", { for: id }, label), input] };
};

/** Chooses a candidate among the uploaded plugins of the same kind. */
const chooser = (running, pinned, plugins) => {
  const world = plugins.find(plugin => plugin.digest === pinned)?.world;
  const fit = plugins.filter(plugin => plugin.name && (!world || plugin.world === world));
  const options = fit.map(plugin => element("option", { value: plugin.name, selected: plugin.name === running },
    `${plugin.name} ${digest(plugin.digest)}${plugin.digest === pinned ? " (runs now)" : ""}`));
  return field("plugin", "Plugin", "select", {}, options);
};

const form = (own, found, { text, plugins: pinned }, uploaded, changes) => {
  const plugin = chooser(found.plugin, pinned[found.plugin], uploaded);
  const share = { type: "number", min: 0.01, step: "any", required: true };
  const sample = field("sample", "Share of the rows that it gets, %", "input", { ...share, max: 100, value: 10 });
  const budget = field("budget", "Processor time that it may take, % of the live plugin's", "input", { ...share, max: 10_000, value: 12 });
  const definition = field("definition", "Definition", "textarea", { rows: 16, spellcheck: "false" });
  definition.input.value = text;
  const begin = event => {
    event.preventDefault();
    const query = new URLSearchParams({ plugin: plugin.input.value, sample: sample.input.value / 100, budget: budget.input.value / 100 });
    const request = { method: "POST", headers: { "Content-Type": "application/yaml" }, body: definition.input.value };
    changes.do(async () => {
      await ask(`${own}?${query}`, request);
      return "The candidate works.";
    });
  };
  return element("form", { class: "card editor", onsubmit: begin },
    element("h2", { tabindex: -1 }, "Try other code"),
    element("p", { class: "quiet" }, "It gets some of the calls that the live plugin gets. What it makes of them is compared and "
      + "thrown away: nothing of it reaches a topic, a table or a state."),
    plugin.parts, sample.parts, budget.parts,
    element("details", {}, element("summary", {}, "With another configuration"),
      element("p", { class: "quiet" }, "Of this step, its configuration and the columns that it may read can differ from what is in force."),
      definition.parts),
    element("div", { class: "actions" }, element("button", { type: "submit", class: "first" }, "Try it")));
};

/** What there is while no candidate works: the form, or why there is none. */
const beginning = async (pipeline, step, caller, changes, signal) => {
  const { definition, file, state } = await ask(path("pipelines", pipeline), { signal });
  if (!definition) return empty(`The file ${file} defines this pipeline: it has no versions, so nothing is tried beside it.`);
  if (["failed", "starting", "paused"].includes(state)) return empty(`The pipeline is ${state}: nothing can be tried beside what does not run.`);
  const [found, plugins] = await Promise.all([findStep(pipeline, step, signal), ask("/plugins", { signal })]);
  if (!found?.plugin) return empty("The host does this step by itself: there is no plugin that another one could be tried beside.");
  if (caller.role !== "deployer") return empty("No candidate works beside this step on this host. Who may deploy can begin one.");
  return form(stepPath(pipeline, step) + "/shadow", found, definition, plugins, changes);
};

/** Puts the candidate into force, once one has seen what that changes, or throws it away. */
const decisions = (own, changes) => {
  const promote = query => ask(`${own}/promote?${new URLSearchParams(query)}`, { method: "POST" });
  const sure = [
    element("p", {}, "This is a swap: on every host lanes go over to the candidate between two batches, and the host goes back by "
      + "itself if it refuses or fails on too much."),
    element("div", { class: "actions" }, button("Promote it", () => changes.make(() => promote({})), { class: "first" }),
      button("Not now", () => changes.clear())),
  ];
  const discard = async () => {
    await ask(own, { method: "DELETE" });
    return "The candidate is gone.";
  };
  return element("div", { class: "actions", role: "group", "aria-label": "Decide" },
    button("Promote…", () => changes.plan(() => promote({ dry_run: true }), ...sure)),
    button("Discard", () => changes.do(discard)));
};

export const show = async (view, { parameters: [pipeline, step], signal, caller }) => {
  const place = element("div");
  let comparison = null;
  const replace = (...children) => {
    const wasHere = place.contains(document.activeElement);
    place.replaceChildren(...children);
    if (wasHere) place.querySelector("h2")?.focus();
  };
  const look = async () => {
    const candidates = await ask(path("pipelines", pipeline, "shadows"), { signal });
    const candidate = Object.hasOwn(candidates, step) ? candidates[step] : null;
    if (candidate && !comparison) {
      comparison = new Comparison(step);
      const own = `${stepPath(pipeline, step)}/shadow`;
      replace(...(caller.role === "deployer" ? [decisions(own, changes)] : []), comparison.element);
    } else if (!candidate && (comparison || !place.children.length)) {
      comparison = null;
      replace(await beginning(pipeline, step, caller, changes, signal));
    }
    comparison?.show(candidate);
  };
  // One look after the other: two at once would each begin a page.
  let looked = Promise.resolve();
  const lookNext = () => (looked = looked.then(look, look));
  const changes = new Changes(lookNext);
  view.append(stepTabs(pipeline, step, "Shadow"), changes.element, place);
  await every(1_000, signal, lookNext);
};

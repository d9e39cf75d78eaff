// The plugins, who runs them, and what they are given.

import { ask, path } from "/console/api.js";
import { chips, element, empty, link, table } from "/console/dom.js";
import { bytes, digest } from "/console/format.js";

export const title = () => "Plugins";

const users = ({ used_by: now, earlier_used_by: earlier }) =>
  [...now, ...earlier.map(name => `${name} (an earlier one)`)].join(", ") || "nobody";

const uploaded = plugins => plugins.length
  ? table("Uploaded plugins", ["Name", "World", "Size", "Digest", "Run by"], plugins.map(plugin =>
    [plugin.name || "(no name any more)", plugin.world, bytes(plugin.size), element("code", { title: plugin.digest }, digest(plugin.digest)),
      users(plugin)]))
  : empty("None was uploaded. Pipelines of files run the plugins that are built beside them.");

/** Every step that runs a plugin, with the columns that enter its sandbox. */
const grants = async signal => {
  const found = [];
  const loaded = (await ask("/pipelines", { signal })).filter(({ state }) => !["failed", "starting"].includes(state));
  for (const { name } of loaded) {
    const { nodes } = await ask(path("pipelines", name, "graph"), { signal });
    const steps = new Map(nodes.flatMap(node => node.steps).filter(step => step.plugin).map(step => [step.name, step]));
    for (const step of steps.values()) found.push({ pipeline: name, ...step });
  }
  return found;
};

export const show = async (view, { signal }) => {
  const [plugins, steps] = await Promise.all([ask("/plugins", { signal }), grants(signal)]);
  view.append(element("h2", {}, "What they are given"), steps.length
    ? table("Columns that enter the sandbox", ["Plugin", "Step", "Columns"], steps.map(({ pipeline, name, plugin, reads }) =>
      [plugin, link(`#${path("pipelines", pipeline, "steps", name)}`, `${pipeline} / ${name}`), chips(reads)]))
    : empty("No step that runs has a plugin."));
  view.append(element("h2", {}, "Uploaded"), uploaded(plugins));
};

// What the pages of a step have in common.

import { ask, path } from "/console/api.js";
import { tabs } from "/console/dom.js";

export const stepPath = (pipeline, step) => path("pipelines", pipeline, "steps", step);

export const stepTabs = (pipeline, step, here) => tabs("Step", [[`Graph of ${pipeline}`, path("pipelines", pipeline)],
  ["Live rows", stepPath(pipeline, step)], ["Shadow", `${stepPath(pipeline, step)}/shadow`]], here);

/** The step with its plugin, and the columns that this reads. */
export const findStep = async (pipeline, step, signal) => {
  const { nodes } = await ask(path("pipelines", pipeline, "graph"), { signal });
  return nodes.flatMap(node => node.steps).find(known => known.name === step);
};

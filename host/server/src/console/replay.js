// What a letter is about, decided once more: what came of it, and what another plugin would make of it.

import { ask } from "/console/api.js";
import { button, element, problem, table } from "/console/dom.js";
import { count, digest } from "/console/format.js";

/** Plugins of which kind have a function. */
const WORLDS = { process: "transform", fold: "aggregate", merge: "aggregate", finish: "aggregate", assemble: "assemble" };

const stackTrace = functions => functions.length
  ? element("details", { open: true }, element("summary", {}, "Stack trace"),
    element("div", { class: "stack", tabindex: 0, role: "region", "aria-label": "Stack trace" },
      element("ol", {}, functions.map(name => element("li", {}, element("code", {}, name))))))
  : null;

/** How a plugin failed, or what it gave. */
const made = ({ failure, refused, refusals, rows, row_count: number, accumulator }) => failure
  ? [element("p", { class: "error" }, `failed (${failure.kind}): ${failure.message}`), stackTrace(failure.stack)]
  : [
    ...refused.map(({ reason, part }) => element("p", { class: "error" }, `refused: ${reason}`, part ? ` (${part})` : "")),
    refusals > refused.length ? element("p", { class: "quiet" }, `and ${count(refusals - refused.length)} refusals more`) : null,
    rows.length ? table(`Rows: ${count(number)}${number > rows.length ? `, the first ${count(rows.length)} of them` : ""}`, ["Output", "Row"],
      rows.map(({ output, row }) => [output, element("code", {}, JSON.stringify(row))])) : null,
    accumulator === undefined ? null : element("p", { class: "quiet" }, `The group's accumulator has ${count(accumulator)} bytes.`),
    refusals || number || accumulator !== undefined ? null : element("p", {}, "Nothing was refused, and nothing was made."),
  ];

const seen = ({ reproduced, outcome, call, masked = [], missing = [] }) => [
  element("h3", {}, reproduced ? "Seen again" : "Not seen again"),
  call ? element("p", { class: "quiet" }, `${call.function} of plugin ${call.plugin} (${digest(call.digest)})`) : null,
  ...masked.map(name => element("p", { class: "note" }, `${name} is personal data: something else stands for its value, and the outcome may differ.`)),
  ...missing.map(text => element("p", { class: "note" }, `${text}: its name stands for its value.`)),
  ...made(outcome),
];

const triedWith = ({ plugin, digest: code, goes_through: isRepaired, outcome }) => [
  element("h3", {}, `With ${plugin} it ${isRepaired ? "goes through" : "does not go through"}`),
  element("p", { class: "quiet" }, `plugin ${plugin} (${digest(code)})`),
  ...made(outcome),
];

/** Uploaded plugins of the kind that was called; nothing if no plugin was. */
const others = async call => {
  if (!call) return [];
  const plugins = await ask("/plugins");
  return plugins.filter(({ name, world }) => name && world === WORLDS[call.function]).map(({ name }) => name);
};

const fill = (place, children) => place.replaceChildren(...children.filter(Boolean));

/** Where the replay of the letter at a path shows, and what makes it. */
export const replay = own => {
  const [result, choice, tried] = ["result", "choice", "result"].map(name => element("div", { class: name }));
  const shown = element("div", { class: "replay", role: "region", "aria-label": "Replay", "aria-live": "polite", hidden: true }, result, choice, tried);
  const does = (place, work) => async () => {
    shown.hidden = false;
    try {
      await work();
    } catch (error) {
      place.replaceChildren(problem(error));
    }
  };
  const again = query => ask(`${own}/replay${query}`, { method: "POST" });
  const offer = names => {
    const plugin = element("select", {}, names.map(name => element("option", {}, name)));
    const work = async () => fill(tried, triedWith((await again(`?${new URLSearchParams({ plugin: plugin.value })}`)).with));
    return [element("label", {}, "With another plugin ", plugin), button("Try it", does(tried, work))];
  };
  const make = does(result, async () => {
    const report = await again("");
    fill(result, seen(report));
    tried.replaceChildren();
    const names = await others(report.call);
    choice.replaceChildren(...(names.length ? offer(names) : []));
  });
  return { shown, make };
};

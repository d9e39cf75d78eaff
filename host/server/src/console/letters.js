// What was refused: why, deciding once more, putting it back, or doing without it.

import { ask, path, send } from "/console/api.js";
import { button, element, empty, problem, state } from "/console/dom.js";
import { time } from "/console/format.js";
import { tabs } from "/console/pipeline.js";
import { replay } from "/console/replay.js";

export const title = name => `Dead letters of ${name}`;

const all = name => path("pipelines", name, "dead-letters");

const one = (name, id) => `${all(name)}/${encodeURIComponent(id)}`;

/** Saves the bundle, with which `azenha replay` decides once more on any machine. */
const saveBundle = async (name, id) => {
  const response = await send(`${one(name, id)}/bundle`);
  const url = URL.createObjectURL(await response.blob());
  element("a", { href: url, download: `${id.replaceAll("/", "_")}.tar` }).click();
  URL.revokeObjectURL(url);
};

/** The whole letter, once somebody wants to see it. */
const whole = (name, id) => {
  const text = element("pre", { tabindex: 0, "aria-label": "The letter" });
  const fill = async event => {
    if (!event.target.open || text.textContent) return;
    const { letter } = await ask(one(name, id));
    text.textContent = JSON.stringify(letter, null, 2);
  };
  return element("details", { ontoggle: fill }, element("summary", {}, "The letter"), text);
};

const card = (name, letter, caller, told, changed) => {
  const { id, version, step, cause, reason, part, plugin, timestamp, decision } = letter;
  const does = work => async () => {
    try {
      await work();
      told.replaceChildren();
    } catch (error) {
      told.replaceChildren(problem(error));
    }
  };
  const decide = what => does(async () => {
    await ask(`${one(name, id)}/${what}`, { method: "POST" });
    await changed();
  });
  const mayOperate = caller.role !== "viewer";
  const { shown, make } = replay(one(name, id));
  return element("li", { class: "card letter" },
    element("h2", {}, step, " ", state(cause)),
    element("p", { class: "error" }, reason, part ? ` (${part})` : ""),
    element("p", { class: "quiet" }, `${time(timestamp)} UTC, `, element("code", {}, id),
      version ? `, version ${version}` : "", plugin ? `, plugin ${plugin}` : ""),
    decision ? element("p", {}, state(decision.verdict), decision.by ? ` by ${decision.by}` : "") : null,
    element("div", { class: "actions" },
      mayOperate ? button("Replay", make) : null,
      mayOperate && !decision ? [button("Retry", decide("retry")), button("Discard", decide("discard"))] : null,
      mayOperate ? button("Save bundle", does(() => saveBundle(name, id))) : null),
    shown, whole(name, id));
};

export const show = async (view, { parameters: [name], signal, caller }) => {
  const [told, list, more] = [element("div"), element("ul", { class: "letters" }), element("p")];
  const decided = element("input", { type: "checkbox", id: "decided", onchange: () => fill() });
  view.append(tabs(name, "Dead letters"),
    element("div", { class: "bar" }, element("label", { for: "decided" }, decided, " Show those that were decided on, too")),
    told, list, more);
  const add = async cursor => {
    const query = new URLSearchParams({ all: decided.checked, ...(cursor ? { cursor } : {}) });
    const { letters, next } = await ask(`${all(name)}?${query}`, { signal });
    list.append(...letters.map(letter => card(name, letter, caller, told, fill)));
    more.replaceChildren(...(next ? [button("More", () => add(next))] : []));
    if (!list.children.length) more.replaceChildren(empty("Nothing was refused, or all of it was decided on."));
  };
  const fill = async () => {
    list.replaceChildren();
    await add();
  };
  await fill();
};

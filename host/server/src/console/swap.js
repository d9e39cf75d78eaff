// Going over to another version: what that would change, and what came of it.

import { digest } from "/console/format.js";
import { element, problem, table } from "/console/dom.js";

/** What a change would do to each task. */
const planned = ({ accepted, problems, plan }) => {
  const code = plugins => Object.entries(plugins ?? {}).map(([name, { before, after }]) =>
    element("div", {}, name, " ", element("code", {}, `${digest(before)} → ${digest(after)}`)));
  const rows = (plan?.tasks ?? []).map(({ task, change, state: fate, detail, plugins }) =>
    [task, change, detail ? `${fate}: ${detail}` : fate, element("div", {}, code(plugins))]);
  return [
    element("h2", {}, accepted ? "This would change" : "This cannot be done"),
    ...problems.map(text => element("p", { class: "error" }, text)),
    rows.length ? table("The plan", ["Task", "Lanes", "State", "Code"], rows) : element("p", {}, "Everything starts anew."),
  ];
};

/** Plans and makes changes, and says what came of them. */
export class Changes {
  element = element("div", { "aria-live": "polite" });
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  clear() {
    this.element.replaceChildren();
  }

  async #try(work) {
    try {
      await work();
    } catch (error) {
      const places = (error.diagnostics ?? []).map(({ line, column, message }) =>
        element("p", { class: "error" }, `${line}:${column}: ${message}`));
      this.element.replaceChildren(problem(error), ...places);
    }
  }

  /** Shows a plan; below one that can be made, what else is given. */
  plan(request, ...below) {
    return this.#try(async () => {
      const answer = await request();
      this.element.replaceChildren(...planned(answer), ...(answer.accepted ? below : []));
    });
  }

  /** Does something, and says what it gives. */
  do(work) {
    return this.#try(async () => {
      this.element.replaceChildren(element("p", { role: "status" }, await work()));
      await this.#changed();
    });
  }

  /** Puts another version into force. */
  make(request) {
    return this.do(async () => {
      const { version, note } = await request();
      return `Version ${version} is in force. ${note ?? ""}`;
    });
  }
}

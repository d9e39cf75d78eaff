// What a step gives, as it gives it.

import { events } from "/console/api.js";
import { button, chips, element, empty } from "/console/dom.js";
import { count } from "/console/format.js";
import { findStep, stepPath, stepTabs } from "/console/step.js";

const KEPT = 50;
const DRAWN_EVERY = 250;

export const title = (pipeline, step) => `${step} of ${pipeline}`;

const about = async (pipeline, step, signal) => {
  const found = await findStep(pipeline, step, signal);
  return found?.plugin ? element("p", { class: "grant" }, `Plugin ${found.plugin} reads`, chips(found.reads)) : null;
};

/** The last rows, as a table whose columns are those that were met. */
class Rows {
  #rows = [];
  #columns = [];
  #seen = 0;
  #skipped = 0;
  #told = element("p", { class: "quiet", role: "status" }, "Waiting for rows…");
  #head = element("tr");
  #body = element("tbody");
  held = false;

  constructor() {
    const made = element("table", {}, element("caption", {}, "The last rows, the latest first"),
      element("thead", {}, this.#head), this.#body);
    const region = { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Live rows" };
    this.element = element("div", {}, this.#told, element("div", region, made));
  }

  take({ kind, data }) {
    if (kind === "skipped") this.#skipped += Number(data);
    else {
      this.#seen += 1;
      this.#rows = [JSON.parse(data), ...this.#rows].slice(0, KEPT);
    }
  }

  draw() {
    if (this.held || !this.#seen) return;
    const met = this.#rows.flatMap(row => Object.keys(row));
    this.#columns = [...new Set([...this.#columns, ...met])];
    this.#head.replaceChildren(...this.#columns.map(name => element("th", { scope: "col" }, name)));
    const text = value => typeof value === "string" ? value : JSON.stringify(value) ?? "";
    this.#body.replaceChildren(...this.#rows.map(row =>
      element("tr", {}, this.#columns.map(name => element("td", {}, text(row[name]))))));
    const skipped = this.#skipped ? `, ${count(this.#skipped)} passed over` : "";
    this.#told.textContent = `${count(this.#seen)} rows seen${skipped}`;
  }
}

export const show = async (view, { parameters: [pipeline, step], signal }) => {
  const rows = new Rows();
  const hold = button("Hold", () => {
    rows.held = !rows.held;
    hold.textContent = rows.held ? "Go on" : "Hold";
    hold.setAttribute("aria-pressed", rows.held);
  }, { "aria-pressed": false });
  view.append(stepTabs(pipeline, step, "Live rows"), element("div", { class: "bar" }, hold));
  const grant = await about(pipeline, step, signal);
  if (grant) view.append(grant);
  view.append(rows.element);
  const drawing = setInterval(() => rows.draw(), DRAWN_EVERY);
  signal.addEventListener("abort", () => clearInterval(drawing));
  for await (const event of events(`${stepPath(pipeline, step)}/tap`, signal)) rows.take(event);
  view.append(empty("The pipeline was stopped, or the host; open the page again."));
};

// What a step gives, as it gives it.

import { ask, events, path } from "/console/api.js";
import { button, element, empty, link } from "/console/dom.js";
import { count } from "/console/format.js";

const KEPT = 50;
const DRAWN_EVERY = 250;

export const title = (pipeline, step) => `${step} of ${pipeline}`;

const about = async (pipeline, step, signal) => {
  const { nodes } = await ask(path("pipelines", pipeline, "graph"), { signal });
  const found = nodes.flatMap(node => node.steps).find(known => known.name === step);
  if (!found?.plugin) return null;
  const columns = found.reads.map(column =>
    element("li", { class: column.personal ? "chip personal" : "chip" }, column.name, column.personal ? " (personal)" : ""));
  return element("p", { class: "grant" }, `Plugin ${found.plugin} reads`, element("ul", { class: "chips" },
    columns.length ? columns : element("li", { class: "chip" }, "nothing")));
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
  const back = link(`#${path("pipelines", pipeline)}`, `Graph of ${pipeline}`);
  view.append(element("nav", { class: "tabs", "aria-label": "Pipeline" }, back), element("div", { class: "bar" }, hold));
  const grant = await about(pipeline, step, signal);
  if (grant) view.append(grant);
  view.append(rows.element);
  const drawing = setInterval(() => rows.draw(), DRAWN_EVERY);
  signal.addEventListener("abort", () => clearInterval(drawing));
  for await (const event of events(path("pipelines", pipeline, "steps", step, "tap"), signal)) rows.take(event);
  view.append(empty("The pipeline was stopped, or the host; open the page again."));
};

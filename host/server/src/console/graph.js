// Topics, tasks and stores in the order of the data: cards in columns with lines between them. Where the screen is
// narrow the cards stand below each other, and each says what it reads.

import { path } from "/console/api.js";
import { drawing, element, link } from "/console/dom.js";
import { Flow } from "/console/flow.js";
import { Rates } from "/console/rates.js";

/** How far each node is from where the data comes in. A cycle, which a plan does not have, would end here, too. */
const depths = (nodes, edges) => {
  const depth = new Map(nodes.map(({ id }) => [id, 0]));
  for (let round = 0; round < nodes.length; round += 1) {
    let moved = false;
    for (const { from, to } of edges) {
      if (depth.get(to) <= depth.get(from)) {
        depth.set(to, depth.get(from) + 1);
        moved = true;
      }
    }
    if (!moved) break;
  }
  return depth;
};

/** The nodes in columns: each at the height of those that it reads, so that few lines cross. */
const arranged = (nodes, edges) => {
  const depth = depths(nodes, edges);
  const columns = [];
  for (const { id } of nodes) (columns[depth.get(id)] ??= []).push(id);
  const height = new Map();
  for (const column of columns) {
    const wanted = id => {
      const before = edges.filter(edge => edge.to === id && height.has(edge.from)).map(edge => height.get(edge.from));
      return before.length ? before.reduce((sum, at) => sum + at, 0) / before.length : 0.5;
    };
    column.sort((one, other) => wanted(one) - wanted(other));
    column.forEach((id, index) => height.set(id, (index + 0.5) / column.length));
  }
  return columns;
};

export class Graph {
  #pipeline;
  #rates = new Rates();
  #cards = new Map();
  /** Where the candidate beside a step is seen. */
  #shadows = [];
  #edges = [];
  #lines = drawing("svg", { class: "lines", "aria-hidden": "true" });
  #columns = element("div", { class: "columns" });

  constructor(pipeline) {
    this.#pipeline = pipeline;
    const label = `Graph of ${pipeline}`;
    this.element = element("section", { class: "graph", tabindex: 0, "aria-label": label }, this.#lines, this.#columns);
    new ResizeObserver(() => this.#connect()).observe(this.#columns);
  }

  draw({ nodes, edges }) {
    const names = new Map(nodes.map(({ id, label }) => [id, label]));
    const before = id => edges.filter(edge => edge.to === id).map(edge => names.get(edge.from));
    this.#edges = edges;
    this.#shadows = [];
    this.#cards = new Map(nodes.map(node => [node.id, this.#card(node, before(node.id))]));
    this.#columns.replaceChildren(...arranged(nodes, edges).map(column =>
      element("div", { class: "column" }, column.map(id => this.#cards.get(id).element))));
    this.#connect();
  }

  /** Shows how the tasks do now, and beside which steps candidates work. */
  update(tasks, candidates) {
    for (const { step, link } of this.#shadows) link.hidden = !Object.hasOwn(candidates, step);
    const now = performance.now();
    for (const { task, lanes } of tasks) {
      const card = [...this.#cards.values()].find(card => card.task === task);
      card?.flow.show(task, lanes, now);
    }
  }

  #card({ id, kind, label, operation, task, connection, steps }, before) {
    const flow = task ? new Flow(this.#rates, `#${path("pipelines", this.#pipeline, "dead-letters")}`) : null;
    const of = step => {
      const page = `#${path("pipelines", this.#pipeline, "steps", step.name)}`;
      const shadow = element("a", { href: `${page}/shadow`, class: "chip", hidden: true }, "candidate");
      this.#shadows.push({ step: step.name, link: shadow });
      return element("li", {}, link(page, step.name),
        step.plugin ? element("span", { class: "quiet" }, ` ${step.plugin} `) : null, shadow);
    };
    const made = element("article", { class: `node ${kind}`, "data-id": id },
      element("h3", {}, label),
      element("p", { class: "quiet" }, operation ?? kind, connection ? ` in ${connection}` : ""),
      before.length ? element("p", { class: "quiet reads" }, `reads ${before.join(", ")}`) : null,
      steps.length ? element("ul", { class: "steps" }, steps.map(of)) : null,
      flow?.element);
    return { element: made, flow, task };
  }

  #connect() {
    const frame = this.#columns.getBoundingClientRect();
    this.#lines.setAttribute("width", frame.width);
    this.#lines.setAttribute("height", frame.height);
    this.#lines.replaceChildren(...this.#edges.map(({ from, to }) => {
      const [left, right] = [from, to].map(id => this.#cards.get(id).element.getBoundingClientRect());
      const [x1, y1] = [left.right - frame.left, left.top + left.height / 2 - frame.top];
      const [x2, y2] = [right.left - frame.left, right.top + right.height / 2 - frame.top];
      const middle = (x1 + x2) / 2;
      return drawing("path", { d: `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` });
    }));
  }
}

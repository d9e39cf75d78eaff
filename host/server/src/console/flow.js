// What flows through one task now. Its elements stay and change their texts, so that whoever is on one of them stays there.

import { drawing, element, link } from "/console/dom.js";
import { count, duration, rate } from "/console/format.js";

const STATES = ["failed", "retrying", "restoring", "joining", "stopped", "running", "elsewhere"];

const worst = lanes => STATES.find(name => lanes.some(lane => lane.state === name)) ?? "waiting";

const sum = (lanes, of) => lanes.reduce((total, lane) => total + (lane[of] ?? 0), 0);

export class Flow {
  #rates;
  #letters;
  #facts = element("dl");
  #values = new Map();
  #curve = drawing("polyline");
  #state = element("span");
  #error = element("p", { class: "error", hidden: true });

  constructor(rates, letters) {
    this.#rates = rates;
    this.#letters = letters;
    const frame = { class: "spark", viewBox: "0 0 118 22", preserveAspectRatio: "none", "aria-hidden": "true" };
    this.element = element("div", { class: "live" }, this.#facts, drawing("svg", frame, this.#curve), this.#state, this.#error);
  }

  show(task, lanes, now) {
    this.#set("records", rate(this.#rates.take(task, sum(lanes, "records"), now)));
    this.#set("lag", count(sum(lanes, "lag")));
    const delays = lanes.map(lane => lane.watermark_delay).filter(Number.isFinite);
    if (delays.length) this.#set("watermark", `${duration(Math.max(...delays))} ago`);
    const letters = sum(lanes, "dead_letters");
    if (letters) this.#set("dead letters", count(letters), this.#letters);
    this.#draw(this.#rates.kept(task));
    const state = worst(lanes);
    this.#state.className = state === "running" ? "" : `state ${state}`;
    this.#state.textContent = state === "running" ? "" : state;
    this.#error.textContent = lanes.find(lane => lane.error)?.error ?? "";
    this.#error.hidden = !this.#error.textContent;
  }

  #set(name, text, to) {
    if (!this.#values.has(name)) {
      const value = to ? link(to) : element("span");
      this.#values.set(name, value);
      this.#facts.append(element("div", {}, element("dt", {}, name), element("dd", { "data-fact": name }, value)));
    }
    this.#values.get(name).textContent = text;
  }

  #draw(rates) {
    const highest = Math.max(...rates, 1);
    const point = (value, index) => `${(60 - rates.length + index) * 2},${(20 - value / highest * 18).toFixed(1)}`;
    this.#curve.setAttribute("points", rates.map(point).join(" "));
  }
}

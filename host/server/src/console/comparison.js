// What a candidate makes of the live plugin's calls, beside what that made of them. Its elements stay and change what they
// hold, so that whoever is on one of them stays there.

import { element, fillable } from "/console/dom.js";
import { bytes, count, digest, percent, processorTime } from "/console/format.js";

const text = value => typeof value === "string" ? value : JSON.stringify(value) ?? "";

/** A cell; marked if the plugins do not agree on it. */
const cell = (value, differs) => differs ? element("mark", {}, text(value)) : text(value);

/** What a plugin made of a row, in a word. */
const outcome = ({ row, rejected, failed }) =>
  row ? "a row" : rejected ? `refused: ${rejected}` : failed ? `failed: ${failed}` : "nothing";

/** The columns that differ come first. */
const sideBySide = ({ columns, made: { live, candidate } }) => {
  const names = new Set([...columns, ...Object.keys({ ...live.row, ...candidate.row })]);
  const rows = [...names].map(name => [element("code", {}, name),
    cell(live.row?.[name], columns.includes(name)), cell(candidate.row?.[name], columns.includes(name))]);
  return live.row && candidate.row ? rows : [["", cell(outcome(live), true), cell(outcome(candidate), true)], ...rows];
};

const sampleCard = sample => {
  const { topic, partition, offset, outlet, input, columns } = sample;
  const where = topic === undefined ? `Group ${Object.values(input).map(text).join(", ")}` : `${topic}/${partition} at offset ${count(offset)}`;
  const table = fillable(`${where}, side by side`, ["Column", "Live", "Candidate"]);
  table.fill(sideBySide(sample));
  return element("li", { class: "card sample" },
    element("h3", {}, where, outlet ? `, outlet ${outlet}` : ""),
    element("p", { class: "quiet" }, columns.length ? `differs in ${columns.join(", ")}` : "only one of the two made a row of it"),
    table.element,
    element("details", {}, element("summary", {}, "What they were given"),
      element("pre", { tabindex: 0, "aria-label": "What they were given" }, JSON.stringify(input, null, 2))));
};

const ROWS = [["equal", "equal"], ["different", "different"], ["only_live", "only of the live plugin"],
  ["only_candidate", "only of the candidate"]];

export class Comparison {
  #about = element("p", { class: "quiet" });
  #suspended = element("p", { class: "message", role: "alert", hidden: true });
  #rows = new Map(ROWS.map(([name]) => [name, element("dd", { "data-fact": name })]));
  #columns = fillable("Values of rows that both made", ["Column", "Equal", "Different"]);
  #notCompared = element("p", { class: "quiet" });
  #cost = fillable("What both cost", ["", "Live", "Candidate"]);
  #calls = element("p", { class: "quiet" });
  #samples = element("ol", { class: "letters" });
  #waiting = element("p", { class: "empty" });

  constructor(step) {
    this.element = element("div", { class: "comparison" },
      element("h2", { tabindex: -1 }, `A candidate works beside ${step}`), this.#about, this.#suspended,
      element("dl", { class: "numbers" }, ROWS.map(([name, label]) =>
        element("div", {}, element("dt", {}, label), this.#rows.get(name)))),
      this.#columns.element, this.#notCompared,
      element("h2", {}, "Cost"), this.#cost.element, this.#calls,
      element("h2", {}, "Rows that differ"), this.#waiting, this.#samples);
  }

  show(shadow) {
    const { plugin, digest: code, sample, budget, suspended, rows, samples } = shadow;
    this.#about.textContent = `Plugin ${plugin} (${digest(code)}) gets at most ${percent(sample)} of the rows, and may take `
      + `${percent(budget)} of the live plugin's processor time. What it makes is compared and thrown away.`;
    this.#suspended.textContent = suspended ? `It is asked no more: ${suspended}` : "";
    this.#suspended.hidden = !suspended;
    for (const [name, value] of this.#rows) {
      value.textContent = count(rows[name]);
      value.classList.toggle("differs", name !== "equal" && rows[name] > 0);
    }
    this.#showColumns(shadow);
    this.#showCost(shadow);
    this.#showSamples(samples, Object.values(rows).some(number => number > 0));
  }

  #showColumns({ columns, accumulators, not_compared: left }) {
    const row = (name, { equal, different }) =>
      [name, count(equal), different ? element("mark", {}, count(different)) : "0"];
    const ofGroups = accumulators.equal + accumulators.different ? [row("accumulators, byte by byte", accumulators)] : [];
    this.#columns.fill([...Object.entries(columns).map(([name, counts]) => row(element("code", {}, name), counts)), ...ofGroups]);
    this.#notCompared.textContent = left.length ? `Not compared: ${left.join(", ")}.` : "";
  }

  #showCost({ cost, memory, problems: { live, candidate }, calls }) {
    const each = cost.nanoseconds_a_row;
    this.#cost.fill([
      ["Processor time a row", each ? processorTime(each.live) : "–", each ? processorTime(each.candidate) : "–"],
      ["Processor time in all", processorTime(cost.live_seconds * 1e9), processorTime(cost.candidate_seconds * 1e9)],
      ["Memory, at most", bytes(memory.live), bytes(memory.candidate)],
      ["Rows refused", count(live.rejected), count(candidate.rejected)],
      ["Rows failed on", count(live.failed), count(candidate.failed)],
    ]);
    const kinds = Object.entries(calls).map(([kind, { seen, sampled, over_budget: over, while_busy: busy }]) =>
      `${kind}: ${count(sampled)} of ${count(seen)} sampled, ${count(over)} left out for the budget, ${count(busy)} because the candidate was at work.`);
    this.#calls.textContent = [...kinds, `Sampling itself took ${processorTime(cost.sampling_seconds * 1e9)}.`].join(" ");
  }

  /** Samples are only added, unless another candidate begins. */
  #showSamples(samples, isCompared) {
    if (samples.length < this.#samples.children.length) this.#samples.replaceChildren();
    this.#samples.append(...samples.slice(this.#samples.children.length).map(sampleCard));
    this.#waiting.textContent = isCompared ? "All that was compared is equal."
      : "Nothing was compared yet. That begins once the live plugin has worked for a while: the budget is a share of its time.";
    this.#waiting.hidden = samples.length > 0;
  }
}

// Every pipeline, and how it does: those that somebody has to look at come first.

import { ask, every, path } from "/console/api.js";
import { element, empty, link, state } from "/console/dom.js";
import { count, duration, time } from "/console/format.js";
import { Trends } from "/console/trends.js";

export const title = () => "Pipelines";

const DOES_NOT = ["failed", "retrying"];

const needsSomebody = ({ state: now, error, note }) => Boolean(error || note || DOES_NOT.includes(now));

const facts = ({ name, lag, watermark_delay: delay, dead_letters: letters }, trends) => {
  const trend = lag === undefined ? "" : trends.take(name, lag);
  const known = [
    lag !== undefined && ["lag", trend ? `${count(lag)}, ${trend}` : count(lag)],
    delay !== undefined && ["watermark", `${duration(delay)} ago`],
    letters && ["dead letters", link(`#${path("pipelines", name, "dead-letters")}`, count(letters))],
  ];
  return element("dl", {}, known.filter(Boolean).map(([label, value]) =>
    element("div", {}, element("dt", {}, label), element("dd", { "data-fact": label }, value))));
};

const card = (pipeline, trends) => {
  const { name, state: now, version, since, file, error, note } = pipeline;
  const from = version ? `version ${version} since ${time(since)} UTC` : file ? `from ${file}` : "";
  return element("li", { class: needsSomebody(pipeline) ? "card needy" : "card" },
    element("h2", {}, link(`#${path("pipelines", name)}`, name)),
    element("p", {}, state(now), " ", element("span", { class: "quiet" }, from)),
    note ? element("p", { class: "note" }, note, " ", link(`#${path("pipelines", name, "versions")}`, "Versions")) : null,
    error ? element("p", { class: "error" }, error) : null,
    facts(pipeline, trends));
};

export const show = (view, { signal }) => {
  const trends = new Trends();
  return every(2_000, signal, async () => {
    const pipelines = await ask("/pipelines", { signal });
    const first = [...pipelines].sort((one, other) => needsSomebody(other) - needsSomebody(one));
    const focused = document.activeElement?.getAttribute("href");
    view.replaceChildren(pipelines.length
      ? element("ul", { class: "cards" }, first.map(pipeline => card(pipeline, trends)))
      : empty("Nothing runs here. `azenha pipeline apply FILE` defines a pipeline."));
    if (focused) view.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  });
};

// The versions of a pipeline: what another one would change, and going over to it.

import { ask, path } from "/console/api.js";
import { button, element, empty, state, table } from "/console/dom.js";
import { digest, time } from "/console/format.js";
import { tabs } from "/console/pipeline.js";
import { Changes } from "/console/swap.js";

export const title = name => `Versions of ${name}`;

const versionRow = (name, caller, changes, last) => ({ version, at, by, note, deleted, plugins, lanes }) => {
  const back = query => ask(`${path("pipelines", name, "rollback")}?${new URLSearchParams({ to: version, ...query })}`, { method: "POST" });
  const actions = caller.role === "deployer" && version !== last && !deleted
    ? element("div", { class: "actions" },
      button("Plan", () => changes.plan(() => back({ dry_run: true })), { "aria-label": `Plan going back to version ${version}` }),
      button("Go back", () => changes.make(() => back({})), { "aria-label": `Go back to version ${version}` }))
    : version === last ? state("in force") : "";
  const code = Object.entries(plugins).map(([plugin, bytes]) => element("div", {}, plugin, " ", element("code", {}, digest(bytes))));
  const began = lanes.map(({ task, partition, from }) => element("div", {}, `${task}/${partition} from ${from}`));
  return [version, `${time(at)}${by ? `, ${by}` : ""}`, note ?? (deleted ? "deleted" : ""), element("div", {}, code),
    element("div", {}, began), actions];
};

/** New code for a plugin, and a new definition. */
const editor = (name, definition, changes) => {
  const text = element("textarea", { id: "definition", rows: 16, spellcheck: "false" });
  text.value = definition.text;
  const options = Object.keys(definition.plugins).map(plugin => element("option", {}, plugin));
  const plugin = element("select", { id: "plugin" }, options);
  const file = element("input", { type: "file", id: "file", accept: ".wasm" });
  const put = query => ask(`${path("pipelines", name)}?${new URLSearchParams(query)}`,
    { method: "PUT", headers: { "Content-Type": "application/yaml" }, body: text.value });
  const upload = async () => {
    if (!file.files.length) return;
    await ask(path("plugins", plugin.value), { method: "PUT", headers: { "Content-Type": "application/wasm" }, body: file.files[0] });
    file.value = "";
  };
  const uploads = options.length ? [element("label", { for: "plugin" }, "Plugin"), plugin,
    element("label", { for: "file" }, "Its new code"), file] : [];
  return element("section", { class: "card editor" },
    element("h2", {}, "Change it"),
    element("p", { class: "quiet" }, "What runs goes over between two batches. New code is uploaded first; it runs from the next change on."),
    uploads,
    element("label", { for: "definition" }, "Definition"), text,
    element("div", { class: "actions" },
      button("Plan the change", () => changes.plan(async () => { await upload(); return put({ dry_run: true }); })),
      button("Make the change", () => changes.make(async () => { await upload(); return put({}); }), { class: "first" })));
};

export const show = async (view, { parameters: [name], signal, caller }) => {
  view.append(tabs(name, "Versions"));
  const { definition, file } = await ask(path("pipelines", name), { signal });
  if (!definition) {
    view.append(empty(`The file ${file} defines this pipeline: it has no versions.`));
    return;
  }
  const list = element("div");
  const fill = async () => {
    const versions = await ask(path("pipelines", name, "versions"), { signal });
    const last = versions.at(-1)?.version;
    const rows = versions.reverse().map(versionRow(name, caller, changes, last));
    list.replaceChildren(table("The latest first", ["Version", "Made (UTC)", "Why", "Code", "Lanes", ""], rows));
  };
  const changes = new Changes(fill);
  await fill();
  view.append(changes.element, list,
    caller.role === "deployer" ? editor(name, definition, changes)
      : element("pre", { tabindex: 0, "aria-label": "The definition" }, definition.text));
};

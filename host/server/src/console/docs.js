// The API for people, from its description for programs.

import { ask } from "/console/api.js";
import { element } from "/console/dom.js";

const shape = body => Object.entries(body?.content ?? {}).map(([type, { schema }]) =>
  `${type} ${(schema?.$ref ?? schema?.items?.$ref ?? "").split("/").pop()}`).join(", ");

const row = (...cells) => element("tr", {}, cells.map(cell => element("td", {}, cell)));

const operation = (path, method, { summary, description, parameters = [], requestBody, responses, "x-role": role }) => {
  const table = element("tbody", {},
    parameters.map(parameter => row(parameter.name, parameter.description ?? "", "")),
    requestBody ? row("body", requestBody.description ?? "", shape(requestBody)) : null,
    Object.entries(responses).map(([status, response]) => row(status, response.description, shape(response))));
  return element("section", { class: "operation" },
    element("h2", {}, element("code", { class: `method ${method}` }, method.toUpperCase()), element("code", {}, ` ${path}`),
      role ? element("span", { class: "chip" }, role) : null),
    element("p", {}, description ?? summary ?? ""),
    element("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": `${method} ${path}` },
      element("table", {}, table)));
};

const api = await ask("/openapi.json");
document.getElementById("about").textContent = api.info.description;
document.getElementById("operations").append(...Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => operation(path, method, described))));
document.getElementById("shapes").textContent = JSON.stringify(api.components.schemas, null, 2);

// Elements, and the little that all pages make of them.

const make = (made, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(name, value);
  }
  // Texts become text, never markup: what they hold comes from elsewhere.
  made.append(...children.flat().filter(child => child !== undefined && child !== null));
  return made;
};

export const element = (name, attributes = {}, ...children) =>
  make(document.createElement(name), attributes, children);

export const drawing = (name, attributes = {}, ...children) =>
  make(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

export const link = (href, ...children) => element("a", { href }, ...children);

export const button = (label, onclick, attributes = {}) =>
  element("button", { type: "button", onclick, ...attributes }, label);

/** A table that scrolls within itself where the screen is narrow. It can be filled again; whoever is on it stays there. */
export const fillable = (caption, columns) => {
  const head = element("tr", {}, columns.map(column => element("th", { scope: "col" }, column)));
  const body = element("tbody");
  const made = element("table", {}, element("caption", {}, caption), element("thead", {}, head), body);
  const fill = rows => body.replaceChildren(...rows.map(cells =>
    element("tr", {}, cells.map(cell => element("td", {}, cell ?? "")))));
  return { element: element("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": caption }, made), fill };
};

export const table = (caption, columns, rows) => {
  const made = fillable(caption, columns);
  made.fill(rows);
  return made.element;
};

/** Links to pages that belong together, each a label and its path. */
export const tabs = (label, pages, here) => element("nav", { class: "tabs", "aria-label": label }, pages.map(([name, to]) =>
  element("a", { href: `#${to}`, "aria-current": name === here ? "page" : null }, name)));

/** The columns that a plugin reads. */
export const chips = columns => element("ul", { class: "chips" }, columns.length
  ? columns.map(({ name, personal }) =>
    element("li", { class: personal ? "chip personal" : "chip" }, name, personal ? " (personal)" : ""))
  : element("li", { class: "chip" }, "nothing"));

/** What a state looks like; the word says the same. */
export const state = name => element("span", { class: `state ${name}` }, name);

export const empty = text => element("p", { class: "empty" }, text);

/** Why something could not be done, and what would be right. */
export const problem = error =>
  element("p", { class: "message", role: "alert" }, error.message, error.help ? ` — ${error.help}` : "");

// Asks for the token, once for each tab.

import { token } from "/console/api.js";
import { element } from "/console/dom.js";

export const login = content => {
  const wasWrong = Boolean(token.get());
  token.forget();
  const field = element("input", {
    id: "token", name: "token", type: "password", required: true, autocomplete: "off", spellcheck: "false",
    "aria-describedby": "token-help",
  });
  const enter = event => {
    event.preventDefault();
    token.set(field.value.trim());
    location.reload();
  };
  const wrong = element("p", { class: "message", role: "alert" }, "The host does not know this token.");
  content.replaceChildren(
    element("h1", {}, "Sign in"),
    element("form", { class: "card login", onsubmit: enter },
      wasWrong ? wrong : null,
      element("label", { for: "token" }, "Token"),
      field,
      element("p", { id: "token-help", class: "quiet" },
        "One of those in the host's configuration. It is kept in this tab until you close it."),
      element("button", { type: "submit", class: "first" }, "Sign in")));
  field.focus();
};

// Who changed what.

import { ask } from "/console/api.js";
import { element, empty, state, table } from "/console/dom.js";
import { digest, time } from "/console/format.js";

export const title = () => "Changes";

const outcome = status => status < 300 ? "done" : status < 500 ? "refused" : "failed";

const version = text => text && text.length > 12 ? digest(text) : text;

/** Who it was; without tokens that is not known. */
const who = (by, role) => by ? `${by}, ${role}` : role === "host" ? "the host itself" : "this machine";

const row = ({ at, by, role, from, method, path, status, version: now }) => [
  element("time", { datetime: new Date(at / 1_000).toISOString() }, time(at)),
  who(by, role),
  from,
  element("code", {}, `${method} ${path}`),
  element("span", {}, state(outcome(status)), ` ${status}`),
  version(now),
];

export const show = async (view, { signal }) => {
  const { entries } = await ask("/audit?limit=200", { signal });
  view.append(entries.length
    ? table("The last changes, the latest first", ["When (UTC)", "Who", "From", "What", "Outcome", "In force"],
      entries.reverse().map(row))
    : empty("Nobody has changed anything yet."));
};

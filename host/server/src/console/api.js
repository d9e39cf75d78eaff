// Asks the host. The token is kept for as long as the tab is open, and goes into a header: no other page can have it sent.

const KEY = "azenha.token";

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: text => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/** The host did not do what it was asked. */
export class Refused extends Error {
  constructor(status, { error, help, diagnostics = [] }) {
    super(error ?? `the host answered ${status}`);
    this.status = status;
    this.help = help;
    this.diagnostics = diagnostics;
  }
}

/** The host did not answer. */
export class Silent extends Error {}

/** The response to a request. */
export const send = async (path, { headers = {}, ...options } = {}) => {
  const known = token.get();
  const authorization = known ? { Authorization: `Bearer ${known}` } : {};
  const request = { ...options, headers: { ...authorization, ...headers }, credentials: "omit" };
  const response = await fetch(path, request).catch(error => {
    throw options.signal?.aborted ? error : new Silent("The host does not answer.");
  });
  if (response.ok) return response;
  if (response.status === 401) dispatchEvent(new Event("unauthorized"));
  throw new Refused(response.status, await response.json().catch(() => ({})));
};

/** What the host answers, as JSON. */
export const ask = async (path, options) => {
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
};

/** A path of parts that may have any letters. */
export const path = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;

/** The events that a path sends, each with its kind and its data, until the signal. */
export async function* events(of, signal) {
  const response = await send(of, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const event of whole) {
      const field = name => event.split("\n").filter(line => line.startsWith(`${name}:`))
        .map(line => line.slice(name.length + 1).trimStart()).join("\n");
      const data = field("data");
      if (data) yield { kind: field("event") || "message", data };
    }
  }
}

/** Does something now and then, while the page is looked at, until the signal. A host that is silent is asked again. */
export const every = async (milliseconds, signal, work) => {
  while (!signal.aborted) {
    if (!document.hidden) await told(work);
    await new Promise(wake => {
      const timer = setTimeout(wake, milliseconds);
      signal.addEventListener("abort", () => { clearTimeout(timer); wake(); }, { once: true });
    });
  }
};

const told = async work => {
  try {
    await work();
    dispatchEvent(new Event("answered"));
  } catch (error) {
    if (!(error instanceof Silent)) throw error;
    dispatchEvent(new Event("unanswered"));
  }
};

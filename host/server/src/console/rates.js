// How quickly counters grow: they are asked for now and then, and what lies between two answers is a rate.

const KEPT = 60;

export class Rates {
  #last = new Map();
  #kept = new Map();

  /** Takes the counter's value of now; gives how much it grows a second, or nothing at first. */
  take(name, value, now) {
    const last = this.#last.get(name);
    this.#last.set(name, { value, now });
    // A counter that falls begins anew: a lane was started again.
    if (!last || now <= last.now || value < last.value) return undefined;
    const rate = (value - last.value) * 1_000 / (now - last.now);
    const kept = this.#kept.get(name) ?? [];
    this.#kept.set(name, [...kept, rate].slice(-KEPT));
    return rate;
  }

  /** The rates of the last while, the latest last. */
  kept(name) {
    return this.#kept.get(name) ?? [];
  }
}

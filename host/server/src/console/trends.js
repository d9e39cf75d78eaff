// Whether a number grows: it is asked for now and then, and the older half of what was kept is compared with the newer one.

const KEPT = 20;
const SURE = 6;
const MUCH = 1.1;

const mean = numbers => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

export class Trends {
  #kept = new Map();

  /** Takes the number of now; says `growing`, `shrinking` or nothing. */
  take(name, number) {
    const kept = [...this.#kept.get(name) ?? [], number].slice(-KEPT);
    this.#kept.set(name, kept);
    if (kept.length < SURE) return "";
    const middle = kept.length >> 1;
    const [before, now] = [mean(kept.slice(0, middle)), mean(kept.slice(middle))];
    return now > before * MUCH ? "growing" : now * MUCH < before ? "shrinking" : "";
  }
}

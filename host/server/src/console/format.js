// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = number => whole.format(number);

export const rate = number => number === undefined ? "–" : `${short.format(Math.round(number * 10) / 10)}/s`;

export const bytes = number => {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(number, 1)) / 10));
  return `${(number / 1024 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
};

export const duration = seconds => {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
};

export const percent = share => `${whole.format(share * 100)} %`;

/** A span of processor time, in nanoseconds. */
export const processorTime = nanoseconds => {
  const units = ["ns", "µs", "ms", "s"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(nanoseconds, 1)) / 3));
  return `${(nanoseconds / 1_000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
};

/** A time in microseconds since 1970. */
export const time = micros => new Date(micros / 1_000).toISOString().replace("T", " ").slice(0, 19);

export const digest = text => text.slice(0, 12);

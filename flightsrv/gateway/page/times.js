// Times: nanoseconds since the Unix epoch as BigInt, which no double could hold; durations in nanoseconds as numbers.

const SECOND = 1_000_000_000n;
const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/;

/** Nanoseconds of a time as the gateway writes it, such as 2026-01-01T10:00:00.5Z; null of any other text. */
export function parseTime(text) {
  const parts = RFC3339.exec(text);
  if (parts === null) return null;
  const [, seconds, fraction = ""] = parts;
  const milliseconds = Date.parse(`${seconds}Z`);
  return Number.isNaN(milliseconds) ? null : BigInt(milliseconds) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/** 2026-01-01T10:00:00.500000000Z */
export function rfc3339(ns) {
  return `${date(ns)}T${clock(ns, 9)}Z`;
}

/** 2026-01-01 10:00:00.5, with the digits that there are, for people; UTC. */
export function readable(ns) {
  return `${date(ns)} ${clock(ns, 9).replace(/\.?0+$/, "")}`.replace(/ (\d\d:\d\d)$/, " $1:00");
}

/** 2026-01-01 10:00:00, UTC. */
export function toSeconds(ns) {
  return `${date(ns)} ${clock(ns, 0)}`;
}

/** 2026-01-01 10:00:03 to 10:00:05, in as few words as tell the two apart; UTC. */
export function rangeText({ begin, end }) {
  const digits = [9, 6, 3, 0][[1e3, 1e6, 1e9].filter((ns) => Number(end - begin) >= ns).length];
  const until = `${date(begin) === date(end) ? "" : `${date(end)} `}${clock(end, digits)}`;
  return `${date(begin)} ${clock(begin, digits)} to ${until}`;
}

/** The same moment where the browser is, for people. */
export function localTime(ns) {
  return new Date(Number(ns / 1_000_000n)).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
}

/** 10:00:00.500 with so many digits of the second. */
export function clock(ns, digits) {
  const [seconds, fraction] = split(ns);
  const text = new Date(Number(seconds) * 1000).toISOString().slice(11, 19);
  return digits === 0 ? text : `${text}.${String(fraction).padStart(9, "0").slice(0, digits)}`;
}

/** 2026-01-01, UTC. */
export function date(ns) {
  return new Date(Number(split(ns)[0]) * 1000).toISOString().slice(0, 10);
}

function split(ns) {
  const fraction = ((ns % SECOND) + SECOND) % SECOND;
  return [(ns - fraction) / SECOND, fraction];
}

const UNITS = [
  ["d", 86_400e9, 3600e9, "h"],
  ["h", 3600e9, 60e9, "min"],
  ["min", 60e9, 1e9, "s"],
];

/** 3 h 12 min, 1.25 s, 830 µs. */
export function duration(ns) {
  for (const [unit, size, smaller, smallerUnit] of UNITS) {
    if (ns >= size) {
      const rest = Math.floor((ns % size) / smaller);
      return `${Math.floor(ns / size)} ${unit}${rest ? ` ${rest} ${smallerUnit}` : ""}`;
    }
  }
  if (ns >= 1e9) return `${significant(ns / 1e9)} s`;
  if (ns >= 1e6) return `${significant(ns / 1e6)} ms`;
  if (ns >= 1e3) return `${significant(ns / 1e3)} µs`;
  return `${ns} ns`;
}

function significant(number) {
  return String(Number(number.toPrecision(3)));
}

/** 4.5 MB */
export function size(bytes) {
  let unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? bytes : significant(bytes)} ${["bytes", "kB", "MB", "GB", "TB"][unit]}`;
}

/** 12,345 spans; 1 span */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

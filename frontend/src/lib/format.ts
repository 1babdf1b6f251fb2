/// Numbers, moments and names as people read them.

/** A metric's value: four significant digits, "n/a" for what is no number. */
export function value(number: number | null | undefined): string {
  if (number === null || number === undefined || !Number.isFinite(number)) return "n/a";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 1e6 || size < 1e-3)
    return number.toExponential(2).replace("e+", "e").replaceAll("-", "−");
  const digits = Math.max(0, Math.min(4, 3 - Math.floor(Math.log10(size))));
  const shown = number.toFixed(digits);
  const trimmed = shown.includes(".") ? shown.replace(/\.?0+$/, "") : shown;
  return trimmed.replace("-", "−");
}

/** A count in short: 950, 4.1 k, 21 M. */
export function count(number: number): string {
  for (const [size, letter] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (number >= size) {
      const scaled = number / size;
      return `${scaled.toFixed(scaled < 10 ? 1 : 0)} ${letter}`;
    }
  }
  return String(Math.round(number));
}

export function bytes(number: number): string {
  for (const [size, unit] of [
    [2 ** 30, "GB"],
    [2 ** 20, "MB"],
    [2 ** 10, "kB"],
  ] as const) {
    if (number >= size) return `${(number / size).toFixed(number / size < 10 ? 1 : 0)} ${unit}`;
  }
  return `${number} B`;
}

/** US dollars; small sums keep two digits that say something. */
export function money(dollars: number): string {
  if (dollars === 0) return "$0";
  return dollars < 0.01 ? `$${dollars.toPrecision(2)}` : `$${dollars.toFixed(2)}`;
}

/** A length of time: 40 s, 12 min, 3 h 20 min, 4 d. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} d`;
}

/** How long ago a moment was, or in how long it will be. */
export function ago(moment: string, now: number = Date.now()): string {
  const seconds = (now - Date.parse(moment)) / 1000;
  if (seconds < 0) return `in ${duration(-seconds)}`;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

export function moment(iso: string): string {
  return new Date(iso).toLocaleString(undefined, {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/** An id shortened in the middle, so that both ends can be told apart. */
export function shortId(id: string): string {
  const [session = "", ...rest] = id.split(":");
  return session.length > 12 ? [session.slice(0, 8), ...rest].join(":") : id;
}

/** What to call a run: its name, else its id. */
export function runName(run: { name: string; id: string }): string {
  return run.name || shortId(run.id);
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

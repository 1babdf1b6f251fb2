/// The metrics of a run in sections, by what stands before the first slash of their names.
import type { MetricSummary } from "../../api/client";
import { isOfEngine, labelOf, placeOfEngine } from "../../lib/engine";

export interface Section {
  title: string;
  keys: string[];
}

// what is asked first comes first; the rest by name
const ORDER = ["", "env", "test", "optim", "kl", "entropy", "rollouts", "time"];
// what the platform captures by itself stands behind what the program records
const ENGINE = "Engine";

/** Sections of the metrics whose names fit what is looked for; the headline is first of its own. */
export function sectionsOf(metrics: MetricSummary[], find: string, headline?: string): Section[] {
  const fits = matcher(find);
  const sections = new Map<string, string[]>();
  const keys = metrics
    .map((one) => one.key)
    .filter((key) => fits(key) || fits(labelOf(key)))
    .sort((a, b) => placeOfEngine(a) - placeOfEngine(b));
  const isHeadline = (key: string) => Number(key === headline);
  for (const key of keys.sort((a, b) => isHeadline(b) - isHeadline(a))) {
    const slash = key.indexOf("/");
    const title = isOfEngine(key) ? ENGINE : slash > 0 ? key.slice(0, slash) : "";
    sections.set(title, [...(sections.get(title) ?? []), key]);
  }
  const place = (title: string) => {
    if (title === ENGINE) return ORDER.length;
    return ORDER.includes(title) ? ORDER.indexOf(title) : ORDER.length - 1.5;
  };
  return [...sections]
    .map(([title, keys]) => ({ title, keys }))
    .sort((a, b) => place(a.title) - place(b.title) || a.title.localeCompare(b.title));
}

/** A regular expression, or as plain text what is none. */
export function matcher(find: string): (key: string) => boolean {
  if (!find) return () => true;
  const plain = (key: string) => key.toLowerCase().includes(find.toLowerCase());
  try {
    const form = new RegExp(find, "i");
    return (key) => form.test(key) || plain(key);
  } catch {
    return plain;
  }
}

/** A slider's place (0 to 100) as a weight of smoothing (0 to 0.999): finer the nearer to one. */
export function weightOf(place: number): number {
  return Number((1 - 10 ** ((-3 * place) / 100)).toFixed(3));
}

export function placeOf(weight: number): number {
  return Math.round((-Math.log10(1 - Math.min(weight, 0.999)) / 3) * 100);
}

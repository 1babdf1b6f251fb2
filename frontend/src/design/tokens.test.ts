/// Every pair of colours that stands on one another can be read, in light and in dark.
import { expect, test } from "vitest";
import file from "./tokens.css?raw";

const [, light = "", dark = ""] = file.split(/:root(?:\[data-theme="dark"\])? \{/);

function colour(theme: string, name: string): number[] {
  const found = new RegExp(`--${name}: #([0-9a-f]{6});`).exec(theme);
  if (!found?.[1]) throw new Error(`there is no --${name}`);
  return [0, 2, 4].map((at) => Number.parseInt(found[1]?.slice(at, at + 2) ?? "", 16) / 255);
}

function luminance(parts: number[]): number {
  const [r = 0, g = 0, b = 0] = parts.map((one) =>
    one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(theme: string, above: string, below: string): number {
  const [a, b] = [luminance(colour(theme, above)), luminance(colour(theme, below))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

const GROUNDS = ["paper", "card", "sunk"];
const TEXTS = ["ink", "soft", "accent", "ok", "run", "wait", "bad", "idle"];

test.each([
  ["light", light],
  ["dark", dark],
])("%s: texts are at least 4.5 to 1", (_, theme) => {
  for (const text of TEXTS) {
    for (const ground of GROUNDS) {
      expect(contrast(theme, text, ground), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    }
  }
  expect(contrast(theme, "on-accent", "accent")).toBeGreaterThanOrEqual(4.5);
});

test.each([
  ["light", light],
  ["dark", dark],
])("%s: ink can be read on every colour that marks text", (_, theme) => {
  for (const side of ["minus", "plus"]) {
    for (const bin of [1, 2, 3, 4]) {
      expect(contrast(theme, "ink", `${side}-${bin}`)).toBeGreaterThanOrEqual(4.5);
    }
  }
  for (const bin of [1, 2, 3, 4, 5]) {
    expect(contrast(theme, "ink", `violet-${bin}`)).toBeGreaterThanOrEqual(4.5);
  }
});

test.each([
  ["light", light],
  ["dark", dark],
])("%s: curves are at least 2.8 to 1 on a card", (_, theme) => {
  for (const series of [1, 2, 3, 4, 5, 6]) {
    expect(contrast(theme, `series-${series}`, "card")).toBeGreaterThanOrEqual(2.8);
  }
});

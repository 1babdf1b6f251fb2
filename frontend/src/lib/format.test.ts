/// Numbers and moments as people read them.
import { expect, test } from "vitest";
import { ago, bytes, count, duration, money, shortId, value } from "./format";

test.each([
  [0, "0"],
  [0.5, "0.5"],
  [0.123456, "0.1235"],
  [38.1559, "38.16"],
  [1234.5, "1235"],
  [-0.25, "−0.25"],
  [1.6e-4, "1.60e−4"],
  [-4.01e-4, "−4.01e−4"],
  [2.5e7, "2.50e7"],
  [100, "100"],
  [Number.NaN, "n/a"],
  [Number.POSITIVE_INFINITY, "n/a"],
  [null, "n/a"],
  [undefined, "n/a"],
])("a metric's value %s is %s", (given, shown) => {
  expect(value(given)).toBe(shown);
});

test("counts, sizes, sums and lengths are short", () => {
  expect([950, 4100, 21_000_000].map(count)).toEqual(["950", "4.1 k", "21 M"]);
  expect([12, 5 * 2 ** 20, 3 * 2 ** 30].map(bytes)).toEqual(["12 B", "5.0 MB", "3.0 GB"]);
  expect([0, 0.00036, 1.917].map(money)).toEqual(["$0", "$0.00036", "$1.92"]);
  expect([40, 720, 12_000, 400_000].map(duration)).toEqual(["40 s", "12 min", "3 h 20 min", "5 d"]);
});

test("moments are told by their distance from now", () => {
  const now = Date.parse("2026-01-01T12:00:00Z");
  expect(ago("2026-01-01T11:59:59Z", now)).toBe("just now");
  expect(ago("2026-01-01T11:00:00Z", now)).toBe("1 h ago");
  expect(ago("2026-01-01T12:10:00Z", now)).toBe("in 10 min");
});

test("an id keeps both of its ends", () => {
  expect(shortId("f4f63908-838a-48ea-9020-7452d4f75421:train:0")).toBe("f4f63908:train:0");
  expect(shortId("short")).toBe("short");
});

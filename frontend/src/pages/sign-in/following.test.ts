/// Signing in leads to pages of ours alone.
import { expect, test } from "vitest";
import { following } from "./page";

test.each([
  ["", "/"],
  ["?next=%2Fruns%2Fx%3Fstep%3D3", "/runs/x?step=3"],
  ["?next=https%3A%2F%2Fevil.example", "/"],
  ["?next=%2F%2Fevil.example", "/"],
  ["?next=%2F%5Cevil.example", "/"],
  ["?next=javascript%3Aalert(1)", "/"],
])("%s leads to %s", (search, to) => {
  expect(following(search)).toBe(to);
});

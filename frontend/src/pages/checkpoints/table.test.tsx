/// The table of checkpoints: what who may only look at sees of it.
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import type { Checkpoint } from "../../api/client";
import type { Changes } from "./changes";
import { CheckpointTable } from "./table";

afterEach(cleanup);

const one: Checkpoint = {
  path: "tinker://a:train:0/weights/<b>s1</b>",
  run_id: "a:train:0",
  segment: "weights",
  name: "<b>s1</b>",
  size_bytes: 2048,
  public: true,
  encrypted: true,
  base_model: "tiny",
  user_metadata: {},
  created_at: "2026-01-01T00:00:00Z",
  expires_at: null,
  step: 7,
  score: { key: "reward", value: 0.25, better: "up" },
};
const changes = {} as Changes;

test("a viewer can choose nothing, a member can", () => {
  render(<CheckpointTable rows={[one]} chosen={new Set()} toggle={undefined} changes={changes} />);
  expect(screen.queryByRole("checkbox")).toBeNull();
  cleanup();
  const toggled: string[] = [];
  render(
    <CheckpointTable
      rows={[one]}
      chosen={new Set([one.path])}
      toggle={(path) => toggled.push(path)}
      changes={changes}
    />,
  );
  const box = screen.getByRole<HTMLInputElement>("checkbox");
  expect(box.checked).toBe(true);
  box.click();
  expect(toggled).toEqual([one.path]);
});

test("a row says step, score, size and marks, and a name with HTML is a name", () => {
  const { container } = render(
    <CheckpointTable rows={[one]} ofRun chosen={new Set()} toggle={undefined} changes={changes} />,
  );
  for (const text of ["7", "0.25", "2.0 kB", "public", "encrypted", "until deleted"]) {
    expect(screen.getByText(text)).toBeDefined();
  }
  expect(container.querySelector("b")).toBeNull();
});

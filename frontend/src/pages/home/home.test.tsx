/// The table of runs, and the line above it.
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { aRun } from "../../lib/verdict.fixture";
import { summary } from "./page";
import { RunTable } from "./table";

afterEach(cleanup);

test("the line counts states, what needs somebody first", () => {
  const rows = [aRun({ state: "finished" }), aRun({ state: "failed" }), aRun(), aRun()];
  expect(summary(rows, 1)).toBe("2 training · 1 failed · 1 finished");
  expect(summary([], 0)).toMatch(/in no team/);
});

test("a row leads to its run and says state, step, headline and cost in words", () => {
  const run = aRun({ usage: { kinds: [], tokens: 4100, cost: 1.917, partly: false } });
  render(<RunTable rows={[run]} chosen={-1} showTeam={false} picked={[]} toggle={() => {}} />);
  expect(screen.getByRole("link", { name: "math" }).getAttribute("href")).toBe(`/runs/${run.id}`);
  for (const text of ["training", "10 / 40", "reward", "0.5", "4.1 k", "$1.92"]) {
    expect(screen.getByText(text)).toBeDefined();
  }
});

test("a name with HTML is a name", () => {
  const { container } = render(
    <RunTable
      rows={[aRun({ name: "<img src=x>" })]}
      chosen={-1}
      showTeam={false}
      picked={[]}
      toggle={() => {}}
    />,
  );
  expect(container.querySelector("img")).toBeNull();
  expect(screen.getByText("<img src=x>")).toBeDefined();
});

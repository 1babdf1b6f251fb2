/// What breaks is told, and another place is another try.
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { Boundary } from "./boundary";

afterEach(cleanup);

function Breaks(): never {
  throw new Error("no such thing");
}

test("a page that breaks is told, and the next one is shown", () => {
  // React tells of it on the console, too
  const quiet = vi.spyOn(console, "error").mockImplementation(() => {});
  const page = render(
    <Boundary place="/a">
      <Breaks />
    </Boundary>,
  );
  expect(screen.getByRole("heading", { name: "This page broke" })).toBeDefined();
  expect(screen.getByText(/no such thing/)).toBeDefined();
  page.rerender(<Boundary place="/b">all is well</Boundary>);
  expect(screen.getByText("all is well")).toBeDefined();
  quiet.mockRestore();
});

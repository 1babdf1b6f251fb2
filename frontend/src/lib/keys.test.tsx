/// Keys: what has the focus goes first, and what is held is done once.
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { useKeys } from "./keys";

afterEach(cleanup);

const pressed: string[] = [];

function Page() {
  useKeys({
    enter: () => pressed.push("enter"),
    d: () => pressed.push("d"),
    j: () => pressed.push("j"),
    "g r": () => pressed.push("g r"),
  });
  return (
    <>
      <a href="/elsewhere">Elsewhere</a>
      <button type="button">Do</button>
      <p>Text</p>
    </>
  );
}

test("Enter opens the link or presses the button that has the focus, else it is the page's", () => {
  render(<Page />);
  for (const one of [screen.getByRole("link"), screen.getByRole("button")]) {
    // true: nobody prevented what the browser does by itself
    expect(fireEvent.keyDown(one, { key: "Enter" })).toBe(true);
  }
  expect(pressed).toEqual([]);
  expect(fireEvent.keyDown(screen.getByText("Text"), { key: "Enter" })).toBe(false);
  expect(pressed).toEqual(["enter"]);
});

test("a key that is held moves on, and does everything else once", () => {
  pressed.length = 0;
  render(<Page />);
  for (const key of ["d", "j"]) {
    fireEvent.keyDown(document.body, { key });
    fireEvent.keyDown(document.body, { key, repeat: true });
  }
  expect(pressed).toEqual(["d", "j", "j"]);
});

test("the second of two keys is not taken for one alone", () => {
  pressed.length = 0;
  render(<Page />);
  for (const key of ["g", "d", "d", "g", "r"]) fireEvent.keyDown(document.body, { key });
  expect(pressed).toEqual(["d", "g r"]);
});

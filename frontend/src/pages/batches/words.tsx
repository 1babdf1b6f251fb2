/// The text of a datum, as one text: coloured by a signal, read token by token with mouse and arrows.
import { useEffect, useMemo, useRef, useState } from "react";
import type { Positions, ShownDatum } from "../../api/client";
import { highlight, type Marked } from "../../components/highlights";
import { value } from "../../lib/format";
import { binsOf, changeOf, lookOf, type Signal, surprise } from "./signals";
import { isSpecial, spanOf, startsOf, stretchesOf, tokenAt, told } from "./spans";

interface WordsProps {
  shown: ShownDatum;
  positions: Positions;
  signal: Signal;
  caret: number | null;
  setCaret: (token: number | null) => void;
  label: string;
}

export function Words({ shown, positions, signal, caret, setCaret, label }: WordsProps) {
  const box = useRef<HTMLElement>(null);
  const [spoken, setSpoken] = useState("");
  const { texts } = shown;
  const starts = useMemo(() => startsOf(texts), [texts]);
  const text = useMemo(() => texts.join(""), [texts]);
  const parts = useMemo(
    () => partsOf(texts, positions, starts, signal),
    [texts, positions, starts, signal],
  );
  useEffect(() => {
    const node = textOf(box.current);
    if (node) return highlight(node, parts);
  }, [parts]);
  useEffect(() => {
    const node = textOf(box.current);
    if (caret === null || !node) return;
    const [from, to] = spanOf(starts, caret);
    return highlight(node, [{ name: "caret", from, to }]);
  }, [caret, starts]);

  const walk = (by: number) => {
    const next = Math.max(0, Math.min(texts.length - 1, caret === null ? 0 : caret + by));
    setCaret(next);
    setSpoken(sayToken(shown, positions, next));
    const node = textOf(box.current);
    if (node) bringIntoView(box.current, node, spanOf(starts, next));
  };
  return (
    <>
      <section
        className="datum-words"
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
        tabIndex={0}
        aria-label={label}
        onKeyDown={(event) => {
          if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
          event.preventDefault();
          walk(event.key === "ArrowRight" ? 1 : -1);
        }}
        onPointerMove={(event) => {
          const node = textOf(box.current);
          const at = node ? characterAt(node, event.clientX, event.clientY) : null;
          if (at !== null) setCaret(tokenAt(starts, at));
        }}
      >
        <pre>{text}</pre>
      </section>
      <p className="hidden" role="status">
        {spoken}
      </p>
      <p className="token-readout">
        {caret === null ? (
          <span className="soft">Point at a token, or walk with ← and →.</span>
        ) : (
          <Numbers shown={shown} positions={positions} place={caret} />
        )}
      </p>
    </>
  );
}

/** The text node of what is read; null while it is empty. */
function textOf(box: HTMLElement | null): Text | null {
  const node = box?.firstChild?.firstChild;
  return node instanceof Text ? node : null;
}

/** What is marked of a text: what was not trained, special tokens, and the bins of a signal. */
export function partsOf(
  texts: string[],
  positions: Positions,
  starts: number[],
  signal: Signal,
): Marked[] {
  const at = (place: number) => starts[place] ?? 0;
  const parts: Marked[] = [];
  for (const { value: trained, from, to } of stretchesOf(positions.trained)) {
    if (!trained) parts.push({ name: "untrained", from: at(from), to: at(to) });
  }
  for (const { value: bin, from, to } of stretchesOf(binsOf(positions, signal))) {
    const look = lookOf(signal, bin);
    if (look) parts.push({ name: look, from: at(from), to: at(to) });
  }
  texts.forEach((text, place) => {
    if (isSpecial(text)) parts.push({ name: "special", from: at(place), to: at(place + 1) });
  });
  return parts;
}

/** The numbers of a token, by name: those that the datum has. */
export function numbersOf(positions: Positions, place: number): [string, number][] {
  const all: [string, number | null | undefined][] = [
    ["surprise", surprise(positions.logprobs[place])],
    ["Δ", changeOf(positions, place)],
    ["advantage", positions.advantages[place]],
    ["weight", positions.weights[place]],
  ];
  return all.filter((one): one is [string, number] => typeof one[1] === "number");
}

function nameOf(texts: string[], place: number): string {
  let shown = place;
  while (shown < texts.length - 1 && !texts[shown]) shown += 1;
  const text = texts[shown] ?? "";
  return text === " " ? "␣" : told(text, 40);
}

/** A token in a sentence, for those who listen. */
export function sayToken({ texts }: ShownDatum, positions: Positions, place: number): string {
  const text = nameOf(texts, place);
  const parts = numbersOf(positions, place).map(([name, number]) => `${name} ${value(number)}`);
  return [
    `“${text}”`,
    ...(isSpecial(texts[place] ?? "") ? ["special token"] : []),
    positions.trained[place] ? "trained" : "not trained",
    ...parts,
    `token ${place}`,
  ].join(", ");
}

function Numbers({
  shown,
  positions,
  place,
}: {
  shown: ShownDatum;
  positions: Positions;
  place: number;
}) {
  const text = shown.texts[place] ?? "";
  return (
    <>
      <code>{nameOf(shown.texts, place)}</code>
      {isSpecial(text) && <span>special token</span>}
      <span>{positions.trained[place] ? "trained" : "not trained"}</span>
      {numbersOf(positions, place).map(([name, number]) => (
        <span key={name}>
          {name} <b>{value(number)}</b>
        </span>
      ))}
      <span className="soft">
        token {place}, id {positions.tokens[place]}
      </span>
    </>
  );
}

/** The character under a point of the screen; null where there is none. */
function characterAt(node: Text, x: number, y: number): number | null {
  const found = document.caretPositionFromPoint?.(x, y);
  const range = found ? null : document.caretRangeFromPoint?.(x, y);
  const [hit, offset] = found
    ? [found.offsetNode, found.offset]
    : [range?.startContainer, range?.startOffset ?? 0];
  if (hit !== node) return null;
  // a caret stands between characters: on the right half of one it stands behind it
  const behind = new Range();
  behind.setStart(node, Math.max(0, offset - 1));
  behind.setEnd(node, offset);
  const isOn = [...behind.getClientRects()].some(
    (one) => x >= one.left && x < one.right && y >= one.top && y <= one.bottom,
  );
  return isOn ? offset - 1 : offset;
}

function bringIntoView(box: HTMLElement | null, node: Text, [from, to]: [number, number]): void {
  if (!box) return;
  const range = new Range();
  range.setStart(node, from);
  range.setEnd(node, to);
  const [at, frame] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
  if (at.top < frame.top) box.scrollTop -= frame.top - at.top + 22;
  if (at.bottom > frame.bottom) box.scrollTop += at.bottom - frame.bottom + 22;
}

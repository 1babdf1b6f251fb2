/// Parts of a text marked with the CSS Custom Highlight API: the text stays one text, so that ten
/// thousand tokens cost no more elements than ten. Older browsers mark nothing.

/** Whether this browser can mark parts of a text. */
export const canHighlight = () => typeof CSS !== "undefined" && "highlights" in CSS;

export interface Marked {
  name: string;
  from: number;
  to: number;
}

/** Mark parts of a text node under names that style sheets know; returns what takes them away. */
export function highlight(node: Text, parts: Marked[]): () => void {
  if (!canHighlight()) return () => {};
  const made: [string, Range][] = [];
  for (const { name, from, to } of parts) {
    if (from >= to || to > node.length) continue;
    const range = new Range();
    range.setStart(node, from);
    range.setEnd(node, to);
    made.push([name, range]);
  }
  for (const [name, range] of made) {
    let found = CSS.highlights.get(name);
    if (!found) {
      found = new Highlight();
      CSS.highlights.set(name, found);
    }
    found.add(range);
  }
  return () => {
    for (const [name, range] of made) CSS.highlights.get(name)?.delete(range);
  };
}

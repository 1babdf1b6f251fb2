/// The groups of a step: as many rows as there are, of which only those in view are made.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import type { ListedGroup } from "../../api/client";
import { value } from "../../lib/format";

interface ListProps {
  groups: ListedGroup[];
  chosen: number | null;
  choose: (group: number) => void;
  /** Asked for when the end comes near. */
  more?: () => void;
}

const ROW = 58;

export function GroupList({ groups, chosen, choose, more }: ListProps) {
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: groups.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 8,
  });
  const shown = rows.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (more && groups.length && last >= groups.length - 10) more();
  }, [last, groups.length, more]);
  const place = groups.findIndex((one) => one.group === chosen);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another choice moves the list
  useEffect(() => {
    if (place >= 0) rows.scrollToIndex(place, { align: "auto" });
  }, [place]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section className="groups" ref={box} tabIndex={0} aria-label="Groups of the step">
      <ul style={{ blockSize: rows.getTotalSize() }}>
        {shown.map((item) => {
          const one = groups[item.index];
          return (
            one && (
              <li
                key={one.group}
                aria-setsize={groups.length}
                aria-posinset={item.index + 1}
                style={{ transform: `translateY(${item.start}px)`, blockSize: item.size }}
              >
                <button
                  type="button"
                  aria-pressed={one.group === chosen}
                  onClick={() => choose(one.group)}
                >
                  <span className="first">
                    <b>{one.group}</b>
                    <Rewards rewards={one.rewards} />
                    <span className="mean">{value(one.mean)}</span>
                  </span>
                  <span className="preview">{askedOf(one)}</span>
                </button>
              </li>
            )
          );
        })}
      </ul>
    </section>
  );
}

/** What was asked, without the marks of chats. */
export function askedOf(group: ListedGroup): string {
  const plain = (group.preview ?? "").replace(/<\|[^|]*\|>(system|user|assistant)?/g, " ");
  return plain.replace(/\s+/g, " ").trim() || group.tags.join(", ") || `${group.rollouts} rollouts`;
}

/** A cell a rollout: full if it earned the most of its group, empty if the least. */
function Rewards({ rewards }: { rewards: (number | null)[] }) {
  const known = rewards.filter((one): one is number => one !== null);
  const least = Math.min(...known, 0);
  const span = Math.max(...known, 1) - least;
  return (
    <span className="cells" aria-hidden="true">
      {rewards.slice(0, 16).map((one, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rollouts keep their places
        <span key={place} className={one === null ? "cell none" : "cell"}>
          <span style={{ blockSize: one === null ? "0%" : `${(100 * (one - least)) / span}%` }} />
        </span>
      ))}
    </span>
  );
}

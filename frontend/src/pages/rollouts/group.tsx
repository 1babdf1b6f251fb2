/// The rollouts of a group side by side: what was asked once, then each answer with what it earned.
import { useEffect, useRef } from "react";
import type { Piece, ShownRollout } from "../../api/client";
import { value } from "../../lib/format";
import { BINS, colour, countBins, outliers } from "./surprise";

interface GroupProps {
  rollouts: ShownRollout[];
  coloured: boolean;
}

export function Group({ rollouts, coloured }: GroupProps) {
  const rewards = rollouts.map((one) => one.reward).filter((one): one is number => one !== null);
  // alone there is nobody to compare with
  const mean =
    rewards.length > 1 ? rewards.reduce((sum, one) => sum + one, 0) / rewards.length : null;
  const asked = sharedPrompt(rollouts);
  return (
    <>
      {asked && (
        <section className="card asked" aria-label="Prompt of the group">
          <h2>Prompt</h2>
          <Words turn={asked} coloured={false} />
        </section>
      )}
      {coloured && <Legend rollouts={rollouts} />}
      <div className="siblings">
        {rollouts.map((one) => (
          <Rollout
            key={one.index}
            rollout={one}
            mean={mean}
            coloured={coloured}
            showPrompt={!asked}
          />
        ))}
      </div>
    </>
  );
}

/** The prompt that all rollouts of the group have; null if they differ or have none. */
export function sharedPrompt(rollouts: ShownRollout[]): Piece | null {
  const [first, ...others] = rollouts.map((one) => one.prompt?.pieces.join("") ?? null);
  if (first === undefined || first === null) return null;
  return others.every((one) => one === first) ? (rollouts[0]?.prompt ?? null) : null;
}

interface RolloutProps {
  rollout: ShownRollout;
  mean: number | null;
  coloured: boolean;
  showPrompt: boolean;
}

function Rollout({ rollout, mean, coloured, showPrompt }: RolloutProps) {
  const advantage = rollout.reward !== null && mean !== null ? rollout.reward - mean : null;
  const components = Object.entries(rollout.components);
  return (
    <article className="card rollout" aria-label={`Rollout ${rollout.index}`}>
      <header>
        <span className="index">{rollout.index}</span>
        <strong className={`reward ${sideOf(advantage)}`}>
          {rollout.reward === null ? "no reward" : value(rollout.reward)}
        </strong>
        {advantage !== null && (
          <span className="soft" title="Reward less the mean of its group">
            {advantage > 0 ? "+" : ""}
            {value(advantage)}
          </span>
        )}
        <span className="soft last">{rollout.tokens ? `${rollout.tokens} tokens` : ""}</span>
      </header>
      {showPrompt && rollout.prompt && (
        <div className="prompt">
          <Words turn={rollout.prompt} coloured={false} />
        </div>
      )}
      {rollout.turns.length === 0 && <p className="soft">No text was recorded.</p>}
      {rollout.turns.map((turn, place) => {
        const number = place + 1;
        return (
          <Turn
            key={number}
            turn={turn}
            number={number}
            of={rollout.turns.length}
            coloured={coloured}
          />
        );
      })}
      {(components.length > 0 || rollout.tags.length > 0) && (
        <footer>
          {components.map(([name, part]) => (
            <span key={name} className="part">
              {name} <b>{typeof part === "number" ? value(part) : String(part)}</b>
            </span>
          ))}
          {rollout.tags.map((tag) => (
            <span key={tag} className="tag">
              {tag}
            </span>
          ))}
        </footer>
      )}
      {Object.keys(rollout.data).length > 0 && (
        <details>
          <summary>Data</summary>
          <pre>{JSON.stringify(rollout.data, null, 2)}</pre>
        </details>
      )}
    </article>
  );
}

function sideOf(advantage: number | null): string {
  if (advantage === null || Math.abs(advantage) < 1e-9) return "";
  return advantage > 0 ? "plus" : "minus";
}

function Turn({
  turn,
  number,
  of,
  coloured,
}: {
  turn: Piece;
  number: number;
  of: number;
  coloured: boolean;
}) {
  if (!turn.kept) return <p className="soft">What was sampled is no longer kept.</p>;
  const least = coloured ? outliers(turn, 5) : [];
  return (
    <div className="turn">
      {of > 1 && <span className="turn-number">turn {number}</span>}
      <Words turn={turn} coloured={coloured} />
      {least.length > 0 && (
        <p className="outliers">
          Least expected:{" "}
          {least.map((one, place) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the same token may come twice
            <span key={place}>
              <code>{one.text.trim() || "␣"}</code> {value(one.surprise)}
            </span>
          ))}
        </p>
      )}
    </div>
  );
}

function Words({ turn, coloured }: { turn: Piece; coloured: boolean }) {
  const box = useRef<HTMLPreElement>(null);
  const text = turn.pieces.join("");
  useEffect(() => {
    const node = box.current?.firstChild;
    if (coloured && node instanceof Text) return colour(node, turn);
  }, [coloured, turn]);
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys */}
      <pre className="words" ref={box} tabIndex={0}>
        {text}
      </pre>
      {turn.cut > 0 && <p className="soft">{turn.cut} more are left out here; the API has all.</p>}
    </>
  );
}

function Legend({ rollouts }: { rollouts: ShownRollout[] }) {
  const counts = countBins(rollouts.flatMap((one) => one.turns));
  const known = counts.reduce((sum, one) => sum + one, 0);
  if (!known)
    return <p className="note">The logprobs of these rollouts are not kept: no colours.</p>;
  return (
    <ul className="legend" aria-label="Colours: surprise in nats, and how many tokens">
      <li>
        surprise below {BINS[0]} <b>{counts[0]}</b>
      </li>
      {BINS.map((bound, place) => (
        <li key={bound}>
          <span className={`swatch violet-${place + 1}`} />
          from {bound} <b>{counts[place + 1]}</b>
        </li>
      ))}
    </ul>
  );
}

/// The memory map: what was trained on in several steps, by how likely it was at first and is now.
import { useEffect, useRef } from "react";
import { api, type Example, type RunDetail, take } from "../../api/client";
import { useLive } from "../../api/live";
import { save } from "../../components/export";
import { Failed, Loading } from "../../components/notes";
import { useAddress } from "../../lib/address";
import { value } from "../../lib/format";
import {
  byFate,
  FATE_NAMES,
  FATE_RULES,
  FATES,
  type Fate,
  fateOf,
  jsonLines,
  nearest,
  pointOf,
  scaleOf,
} from "./fates";

const SIZE = 420;
const EDGE = 34;
const ROWS = 100;
const COLOURS: Record<Fate, string> = {
  never: "--series-5",
  learnt: "--series-1",
  forgotten: "--series-4",
  heart: "--series-6",
};

export function MemoryMap({ run }: { run: RunDetail }) {
  const [address, change] = useAddress();
  const found = useLive({
    key: ["examples", run.id],
    ask: () =>
      take(
        api.GET("/api/console/runs/{run_id}/examples", { params: { path: { run_id: run.id } } }),
      ),
  });
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="the memory map" />;
  const { examples } = found.data;
  if (!examples.length) {
    return (
      <p className="note">
        Nothing was trained on in more than one step yet. From the second epoch on it shows here
        what was learnt, forgotten or known by heart.
      </p>
    );
  }
  const groups = byFate(examples);
  const fate = FATES.find((one) => one === address.get("fate")) ?? firstOf(groups);
  const open = (one: Example) =>
    change({ view: null, fate: null, step: String(one.step), d: String(one.datum) });
  return (
    <div className="memory">
      <section className="card" aria-label="Memory map">
        <p className="soft">
          Mean logprob a trained token: the first time → and now ↑. Press a point to read it.
        </p>
        <Scatter examples={examples} chosen={fate} open={open} />
      </section>
      <section className="card" aria-label="What became of them">
        <fieldset className="segmented">
          <legend>What became of them</legend>
          {FATES.map((one) => (
            <label key={one}>
              <input
                type="radio"
                name="fate"
                checked={one === fate}
                onChange={() => change({ fate: one })}
              />
              <span>
                <i className="dot" style={{ background: `var(${COLOURS[one]})` }} />
                {FATE_NAMES[one]} {groups[one].length}
              </span>
            </label>
          ))}
        </fieldset>
        <p className="soft">
          {FATE_NAMES[fate]}: {FATE_RULES[fate]}.{" "}
          {groups[fate].length > 0 && (
            <button
              type="button"
              className="quiet"
              onClick={() =>
                save(
                  `${run.id}-${fate}.jsonl`,
                  new Blob([jsonLines(groups[fate], fate)], { type: "application/jsonl" }),
                )
              }
            >
              Save the list as JSON lines
            </button>
          )}
        </p>
        <List examples={groups[fate]} open={open} />
      </section>
    </div>
  );
}

const firstOf = (groups: Record<Fate, Example[]>): Fate =>
  FATES.find((one) => groups[one].length > 0) ?? "never";

function List({ examples, open }: { examples: Example[]; open: (one: Example) => void }) {
  if (!examples.length) return <p className="note">None of the examples.</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section className="memory-list" tabIndex={0} aria-label="Examples">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Last trained on</th>
            <th scope="col" className="number">
              Seen
            </th>
            <th scope="col" className="number">
              First
            </th>
            <th scope="col" className="number">
              Now
            </th>
          </tr>
        </thead>
        <tbody>
          {examples.slice(0, ROWS).map((one) => (
            <tr key={one.datum}>
              <th scope="row">
                <button type="button" className="quiet" onClick={() => open(one)}>
                  step {one.step}, datum {one.datum}
                </button>
              </th>
              <td className="number">{one.seen}×</td>
              <td className="number">{value(one.first)}</td>
              <td className="number">{value(one.last)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {examples.length > ROWS && (
        <p className="soft">{examples.length - ROWS} more are in the list that can be saved.</p>
      )}
    </section>
  );
}

interface ScatterProps {
  examples: Example[];
  chosen: Fate;
  open: (one: Example) => void;
}

function Scatter({ examples, chosen, open }: ScatterProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scale = scaleOf(examples, SIZE, EDGE);
  useEffect(() => {
    const box = canvas.current;
    if (!box) return;
    const redraw = () => draw(box, examples, chosen);
    redraw();
    const theme = new MutationObserver(redraw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => theme.disconnect();
  }, [examples, chosen]);
  const counts = byFate(examples);
  return (
    <canvas
      ref={canvas}
      role="img"
      aria-label={`${examples.length} example${examples.length === 1 ? "" : "s"}: ${FATES.map(
        (one) => `${counts[one].length} ${FATE_NAMES[one].toLowerCase()}`,
      ).join(", ")}`}
      onClick={(event) => {
        const frame = event.currentTarget.getBoundingClientRect();
        const grown = SIZE / frame.width;
        const at = [event.clientX - frame.left, event.clientY - frame.top].map((n) => n * grown);
        const found = nearest(examples, scale, at[0] ?? 0, at[1] ?? 0);
        if (found) open(found);
      }}
    />
  );
}

/** Draw the points, those of the chosen kind on top, and the line where nothing has changed. */
function draw(box: HTMLCanvasElement, examples: Example[], chosen: Fate): void {
  const context = box.getContext("2d");
  if (!context) return;
  const style = getComputedStyle(document.documentElement);
  const css = (name: string) => style.getPropertyValue(name).trim();
  const scale = scaleOf(examples, SIZE, EDGE);
  const dense = window.devicePixelRatio || 1;
  box.width = box.height = SIZE * dense;
  context.scale(dense, dense);
  context.strokeStyle = css("--line");
  context.fillStyle = css("--soft");
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  context.strokeRect(EDGE, EDGE, SIZE - 2 * EDGE, SIZE - 2 * EDGE);
  context.beginPath();
  context.moveTo(...pointOf(scale, scale.least, scale.least));
  context.lineTo(...pointOf(scale, 0, 0));
  context.stroke();
  const least = value(scale.least);
  context.fillText(least, EDGE, SIZE - EDGE + 16);
  context.fillText("0", SIZE - EDGE - 6, SIZE - EDGE + 16);
  context.fillText(least, 4, SIZE - EDGE);
  context.fillText("0", 20, EDGE + 8);
  const known = [...examples].sort(
    (a, b) => Number(fateOf(a) === chosen) - Number(fateOf(b) === chosen),
  );
  for (const one of known) {
    const fate = fateOf(one);
    if (!fate || one.first === null || one.last === null) continue;
    context.globalAlpha = fate === chosen ? 1 : 0.5;
    context.fillStyle = css(COLOURS[fate]);
    context.beginPath();
    context.arc(...pointOf(scale, one.first, one.last), fate === chosen ? 4 : 3, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

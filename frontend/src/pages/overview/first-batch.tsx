/// The first datum that a run trained on, literally: is it what its program meant?
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Link } from "wouter";
import { api, type RunDetail, type ShownDatum, take } from "../../api/client";
import { highlight } from "../../components/highlights";
import { useDatum } from "../batches/asked";
import { oddOf, trainedOf, warningsOf } from "../batches/sentences";
import { startsOf } from "../batches/spans";
import { partsOf } from "../batches/words";

/** Nothing until the run has trained. */
export function FirstBatch({ run }: { run: RunDetail }) {
  const batch = useQuery({
    queryKey: ["batch", run.id, 0, "first"],
    queryFn: () =>
      take(
        api.GET("/api/console/runs/{run_id}/batches/{step}", {
          params: { path: { run_id: run.id, step: 0 }, query: { limit: 1 } },
        }),
      ),
    // the first step is soon done, and then stays what it is
    staleTime: 60_000,
  });
  const first = batch.data?.batch.datums[0];
  const found = useDatum(run, first?.id ?? null);
  if (!batch.data || !first || !found.data) return null;
  const said = [...warningsOf(batch.data.batch, undefined), ...oddOf(found.data)];
  const { total } = batch.data.batch;
  return (
    <section className="card first-batch" aria-label="First batch">
      <h2>First batch</h2>
      <p className="soft">
        What step 0 was trained on: the first of {total} datum{total === 1 ? "" : "s"}, word for
        word.
      </p>
      <Marked shown={found.data} />
      <p>
        <span className="swatch look-plus-2" />
        {trainedOf(found.data)}.{" "}
        <Link to={`/runs/${run.id}/batches?step=0`}>Look at all of the step</Link>
      </p>
      {said.map((line) => (
        <p className="warning" key={line}>
          {line}
        </p>
      ))}
    </section>
  );
}

function Marked({ shown }: { shown: ShownDatum }) {
  const box = useRef<HTMLPreElement>(null);
  const { positions } = shown.datum;
  useEffect(() => {
    const node = box.current?.firstChild;
    if (!positions || !(node instanceof Text)) return;
    return highlight(node, partsOf(shown.texts, positions, startsOf(shown.texts), "trained"));
  }, [shown, positions]);
  if (!positions) return <p className="soft">Its text is not kept.</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section className="datum-words" tabIndex={0} aria-label="Text of the first datum">
      <pre ref={box}>{shown.texts.join("")}</pre>
    </section>
  );
}

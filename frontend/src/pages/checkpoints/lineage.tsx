/// Where weights came from and went to, as a picture that keys walk through, and as a table.
import { useMemo, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { api, type Lineage, take } from "../../api/client";
import { useLive } from "../../api/live";
import { Failed, Loading } from "../../components/notes";
import { moment, shortId } from "../../lib/format";
import { type Edge, inWords, layOut, type Node, next } from "./layout";

interface LineageProps {
  of: { run: string } | { team: string };
}

export default function LineageView({ of }: LineageProps) {
  const found = useLive({
    key: ["lineage", of],
    ask: () => take(api.GET("/api/console/lineage", { params: { query: of } })),
  });
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="the lineage" />;
  const { runs, folded, cut } = found.data;
  if (!runs.length) return <p className="note">Nothing has been saved or loaded yet.</p>;
  return (
    <div className="lineage">
      {(folded || cut) && (
        <p className="soft">
          {cut && `The newest ${runs.length} runs. `}
          {folded && "There are many saves: of each run only those that something came from."}
        </p>
      )}
      <Graph lineage={found.data} here={"run" in of ? of.run : ""} />
      <LineageTable lineage={found.data} />
    </div>
  );
}

function Graph({ lineage, here }: { lineage: Lineage; here: string }) {
  const picture = useMemo(() => layOut(lineage), [lineage]);
  const nodes = useRef(new Map<string, Element & { focus: () => void }>());
  const [at, setAt] = useState("");
  const [, navigate] = useLocation();
  const byId = useMemo(() => new Map(picture.nodes.map((one) => [one.id, one])), [picture]);
  const current = byId.get(at) ?? picture.nodes[0];
  const walk = (event: React.KeyboardEvent) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const found = next(picture.nodes, current, event.key);
    if (!found) return;
    setAt(found.id);
    nodes.current.get(found.id)?.focus();
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <section className="card graph" aria-label="Lineage as a picture" tabIndex={0}>
      {/* biome-ignore lint/a11y/useSemanticElements: an SVG is no fieldset */}
      <svg
        width={picture.width}
        height={picture.height}
        role="group"
        aria-label="Lineage: arrow keys walk, Enter opens"
        onKeyDown={walk}
      >
        {picture.edges.map((edge) => (
          <Line key={edge.id} edge={edge} from={byId.get(edge.from)} to={byId.get(edge.to)} />
        ))}
        {picture.nodes.map((node) => (
          <a
            key={node.id}
            ref={(made) => {
              if (made) nodes.current.set(node.id, made);
              else nodes.current.delete(node.id);
            }}
            className={`node ${node.kind} ${node.standing}${node.run === here ? " here" : ""}`}
            href={hrefOf(node)}
            aria-label={node.title}
            tabIndex={node === current ? 0 : -1}
            onFocus={() => setAt(node.id)}
            onClick={(event) => {
              if (event.metaKey || event.ctrlKey) return;
              event.preventDefault();
              navigate(hrefOf(node));
            }}
          >
            <title>{node.title}</title>
            <Shape node={node} />
          </a>
        ))}
      </svg>
    </section>
  );
}

const hrefOf = (node: Node) =>
  node.kind === "base"
    ? `/?q=${encodeURIComponent(node.run)}`
    : node.standing === "foreign"
      ? "/checkpoints?view=lineage"
      : `/runs/${node.run}${node.kind === "save" ? "/checkpoints" : ""}`;

function Shape({ node }: { node: Node }) {
  const { x, y } = node;
  if (node.kind === "save") {
    return (
      <>
        <circle cx={x} cy={y} r={node.isPublic ? 7 : 5.5} />
        {node.isPublic && <circle className="inner" cx={x} cy={y} r={3} />}
        <text x={x} y={y + 19} textAnchor="middle">
          {cut(node.label, 11)}
        </text>
      </>
    );
  }
  const width = node.kind === "base" ? 108 : 12;
  return (
    <>
      <rect x={node.kind === "base" ? x - 12 : x - 6} y={y - 8} width={width} height={16} rx={4} />
      <text
        x={node.kind === "base" ? x - 6 : x - 6}
        y={node.kind === "base" ? y + 4 : y - 12}
        className={node.kind}
      >
        {cut(node.kind === "base" ? (node.label.split("/").at(-1) ?? "") : node.label, 16)}
      </text>
    </>
  );
}

function Line({ edge, from, to }: { edge: Edge; from: Node | undefined; to: Node | undefined }) {
  if (!from || !to) return null;
  const middle = Math.max(from.x + 16, to.x - 20);
  const isLane = from.y === to.y;
  // back to its own run: in an arc, for the lane has a line already
  const back = `M${from.x} ${from.y}C${from.x} ${from.y - 22} ${to.x} ${to.y - 22} ${to.x} ${to.y}`;
  const path = !isLane
    ? `M${from.x} ${from.y}C${middle} ${from.y} ${from.x} ${to.y} ${to.x} ${to.y}`
    : to.x > from.x
      ? `M${from.x} ${from.y}H${to.x}`
      : back;
  return <path className={`edge ${edge.how}${edge.optimizer === false ? " bare" : ""}`} d={path} />;
}

const cut = (text: string, most: number) =>
  text.length > most ? `${text.slice(0, most - 1)}…` : text;

function LineageTable({ lineage }: { lineage: Lineage }) {
  const names = new Map(lineage.runs.map((one) => [one.id, one.name || shortId(one.id)]));
  const from = new Map<string, Lineage["edges"]>();
  for (const one of lineage.edges) from.set(one.run_id, [...(from.get(one.run_id) ?? []), one]);
  const standing = new Map(lineage.saves.map((one) => [`${one.run_id}/${one.name}`, one.standing]));
  return (
    <div className="card table-card">
      <table className="runs">
        <caption className="hidden">Lineage as a table</caption>
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col">Base model</th>
            <th scope="col">Weights came from</th>
            <th scope="col" className="number">
              Saved
            </th>
          </tr>
        </thead>
        <tbody>
          {lineage.runs.map((run) => (
            <tr key={run.id}>
              <th scope="row">
                <Link className="name" to={`/runs/${run.id}/checkpoints?view=lineage`}>
                  {names.get(run.id)}
                </Link>
                <span className="under">{moment(run.created_at)}</span>
              </th>
              <td data-label="Base model">{run.base_model}</td>
              <td data-label="Weights came from">
                <ul className="origins">
                  {(from.get(run.id) ?? []).map((one) => (
                    <li key={one.seq}>
                      {names.get(one.source_run) ?? shortId(one.source_run)} / {one.source_name}{" "}
                      <span className="soft">
                        {inWords(one.how, one.optimizer)}
                        {notes[standing.get(`${one.source_run}/${one.source_name}`) ?? ""]}
                      </span>
                    </li>
                  ))}
                  {!from.has(run.id) && <li className="soft">the base model</li>}
                </ul>
              </td>
              <td data-label="Saved" className="number">
                {run.saves}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const notes: Record<string, string> = {
  deleted: "; deleted since",
  gone: "; no longer kept",
  foreign: "; of another team",
};

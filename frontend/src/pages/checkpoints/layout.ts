/// Where each run and save of a lineage stands on the picture: a lane for each run, its saves from
/// left to right, each run to the right of what its weights came from.
import type { Lineage } from "../../api/client";

export interface Node {
  id: string;
  kind: "base" | "run" | "save";
  /** Whom it belongs to: of a base model its name. */
  run: string;
  label: string;
  title: string;
  standing: "kept" | "deleted" | "gone" | "foreign";
  isPublic: boolean;
  x: number;
  y: number;
}

export interface Edge {
  id: string;
  from: string;
  to: string;
  /** `saved` holds a run and its saves together. */
  how: "base" | "saved" | "created" | "loaded" | "copied";
  optimizer: boolean | null;
}

export interface Picture {
  nodes: Node[];
  edges: Edge[];
  width: number;
  height: number;
}

export const COLUMN = 76;
export const LANE = 44;
const MARGIN = 24;
/** What stands beside a run's first point: its name. */
const NAME = 150;

const saveId = (run: string, name: string) => `save ${run} ${name}`;

/** Places for all of a lineage; the same lineage has the same picture. */
export function layOut(lineage: Lineage): Picture {
  const saves = new Map<string, Lineage["saves"]>();
  for (const one of lineage.saves) saves.set(one.run_id, [...(saves.get(one.run_id) ?? []), one]);
  const parents = new Map<string, Lineage["edges"]>();
  for (const one of lineage.edges) {
    parents.set(one.run_id, [...(parents.get(one.run_id) ?? []), one]);
  }
  const known = new Map(lineage.runs.map((one) => [one.id, one]));
  const nodes: Node[] = [];
  const edges: Edge[] = [];
  const columns = new Map<string, number>();
  let lane = 0;

  const placeSaves = (run: string, first: number) => {
    (saves.get(run) ?? []).forEach((one, at) => {
      const id = saveId(run, one.name);
      columns.set(id, first + at);
      nodes.push({
        id,
        kind: "save",
        run,
        label: one.name,
        title: describe(one),
        standing: one.standing,
        isPublic: one.public,
        x: place(first + at),
        y: MARGIN + lane * LANE,
      });
      const before = at ? saveId(run, saves.get(run)?.[at - 1]?.name ?? "") : `run ${run}`;
      if (known.has(run))
        edges.push({ id: `in ${id}`, from: before, to: id, how: "saved", optimizer: null });
    });
  };
  // what is another team's has no run here: it stands in a lane of its own
  for (const [run] of [...saves].filter(([one]) => !known.has(one))) {
    placeSaves(run, 1);
    lane += 1;
  }
  const done = new Set<string>();
  const placeRun = (id: string) => {
    const run = known.get(id);
    if (!run || done.has(id)) return;
    done.add(id);
    const from = parents.get(id) ?? [];
    // a run that its own saves go back into is before them all the same
    const made = from.find((one) => one.how !== "loaded" && one.source_run !== id);
    const source = made ? columns.get(saveId(made.source_run, made.source_name)) : undefined;
    const column = (source ?? 0) + 1;
    columns.set(`run ${id}`, column);
    nodes.push({
      id: `run ${id}`,
      kind: "run",
      run: id,
      label: run.name || id,
      title: `Run ${run.name || id} on ${run.base_model}, ${run.saves} saved`,
      standing: "kept",
      isPublic: false,
      x: place(column) - COLUMN / 2,
      y: MARGIN + lane * LANE,
    });
    placeSaves(id, column + 1);
    lane += 1;
    for (const child of childrenOf(lineage, id)) placeRun(child);
  };
  const bases = new Map<string, string[]>();
  for (const one of lineage.runs) {
    bases.set(one.base_model, [...(bases.get(one.base_model) ?? []), one.id]);
  }
  for (const [base, runs] of bases) {
    const first = lane;
    const roots = runs.filter((id) => !(parents.get(id) ?? []).some((one) => isMaking(one, known)));
    for (const id of [...roots, ...runs]) placeRun(id);
    nodes.push({
      id: `base ${base}`,
      kind: "base",
      run: base,
      label: base,
      title: `Base model ${base}`,
      standing: "kept",
      isPublic: false,
      x: MARGIN,
      y: MARGIN + first * LANE,
    });
    for (const id of roots) {
      edges.push({
        id: `base ${id}`,
        from: `base ${base}`,
        to: `run ${id}`,
        how: "base",
        optimizer: null,
      });
    }
  }
  for (const one of lineage.edges) {
    edges.push({
      id: `edge ${one.run_id} ${one.seq}`,
      from: saveId(one.source_run, one.source_name),
      to: `run ${one.run_id}`,
      how: one.how as Edge["how"],
      optimizer: one.optimizer,
    });
  }
  const width = Math.max(...nodes.map((one) => one.x), 0) + COLUMN + MARGIN;
  return { nodes, edges, width, height: MARGIN * 2 + Math.max(0, lane - 1) * LANE + 12 };
}

const place = (column: number) => (column ? MARGIN + NAME + (column - 1) * COLUMN : MARGIN);

function isMaking(edge: Lineage["edges"][number], known: Map<string, unknown>): boolean {
  return edge.how !== "loaded" && edge.source_run !== edge.run_id && known.has(edge.source_run);
}

function childrenOf(lineage: Lineage, id: string): string[] {
  return lineage.edges.filter((one) => one.source_run === id).map((one) => one.run_id);
}

/** A save in words. */
export function describe(one: Lineage["saves"][number]): string {
  const words = {
    kept: one.public ? "published" : "",
    deleted: "deleted, can be brought back",
    gone: "no longer kept",
    foreign: "of another team",
  }[one.standing];
  const step = one.step === null ? "" : `, step ${one.step}`;
  return `Checkpoint ${one.name}${step}${words && `, ${words}`}`;
}

/** How weights came into a run, in words. */
export function inWords(how: string, optimizer: boolean | null): string {
  if (how === "copied") return "copy";
  const what = how === "created" ? "made from" : "loaded";
  if (optimizer === null) return what;
  return `${what}, ${optimizer ? "with" : "without"} the optimizer's state`;
}

/** The nearest node in a direction, which keys walk to. */
export function next(nodes: Node[], from: Node | undefined, key: string): Node | undefined {
  if (!from) return nodes[0];
  const along = key === "ArrowLeft" || key === "ArrowRight";
  const sign = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  const ahead = nodes.filter((one) =>
    along ? one.y === from.y && (one.x - from.x) * sign > 0 : (one.y - from.y) * sign > 0,
  );
  const distance = (one: Node) =>
    along ? Math.abs(one.x - from.x) : Math.abs(one.y - from.y) * 1e4 + Math.abs(one.x - from.x);
  return ahead.sort((a, b) => distance(a) - distance(b))[0];
}

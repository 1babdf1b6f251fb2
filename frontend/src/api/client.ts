/// The dashboard's API, with types made from its description (schema.d.ts, by `npm run types`).
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type Me = Schemas["Me"];
export type RunRow = Schemas["RunRow"];
export type RunDetail = Schemas["RunDetail"];
export type MetricSummary = Schemas["MetricSummary"];
export type Series = Schemas["Series"];
export type StepSummary = Schemas["StepSummary"];
export type ListedGroup = Schemas["ListedGroup"];
export type ShownRollout = Schemas["ShownRollout"];
export type Piece = Schemas["Piece"];
export type Cluster = Schemas["Cluster"];
export type ShownPool = Schemas["ShownPool"];
export type ShownWorker = Schemas["ShownWorker"];
export type Waiting = Schemas["Waiting"];
export type Since = Schemas["Since"];
export type Change = Schemas["Change"];
export type Amount = Schemas["Amount"];
export type TeamMonth = Schemas["TeamMonth"];
export type RunUsed = Schemas["RunUsed"];
export type Comparison = Schemas["Comparison"];
export type Difference = Schemas["Difference"];
export type MatchedPrompt = Schemas["ShownPrompt"];
export type Lineage = Schemas["Lineage"];
export type Timeline = Schemas["Timeline"];
export type OperationTimes = Schemas["OperationTimes"];
export type TrainedStep = Schemas["StepRow"];
export type Batch = Schemas["Batch"];
export type DatumRow = Schemas["DatumRow"];
export type ShownDatum = Schemas["ShownDatum"];
export type Positions = Schemas["Positions"];
export type Example = Schemas["Example"];
export type Checkpoint = Schemas["ShownCheckpoint"];

export class Refused extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

const cookie = (name: string) =>
  document.cookie
    .split("; ")
    .find((part) => part.startsWith(`${name}=`))
    ?.slice(name.length + 1) ?? "";

const csrf: Middleware = {
  onRequest({ request }) {
    if (request.method !== "GET") request.headers.set("X-CSRFToken", cookie("csrftoken"));
    return request;
  },
};

export const api = createClient<paths>({
  baseUrl: window.location.origin,
  fetch: (request) => fetch(request),
});
api.use(csrf);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of an answer. Throws `Refused` with the server's own words. */
export async function take<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (response.ok) return data as T;
  const said = error as { detail?: string } | undefined;
  throw new Refused(response.status, said?.detail ?? `the server answered ${response.status}`);
}

/// The causes of a run's time: what each is called, what it means, and how it is drawn. A pattern tells
/// apart what colours alone might not.
export interface CauseLook {
  cause: string;
  text: string;
  means: string;
  /** A colour of the design, by its name there. */
  colour: string;
  pattern: "full" | "hatched" | "dotted" | "crossed";
}

export const CAUSES: readonly CauseLook[] = [
  {
    cause: "engine",
    text: "Engine",
    means: "The engine worked on this run.",
    colour: "--series-1",
    pattern: "full",
  },
  {
    cause: "program",
    text: "Your program",
    means: "Nothing was asked for: from a result's arrival to your next request.",
    colour: "--series-5",
    pattern: "dotted",
  },
  {
    cause: "others",
    text: "Other teams",
    means: "Something waited while the engine served other teams.",
    colour: "--series-4",
    pattern: "hatched",
  },
  {
    cause: "team",
    text: "Your team's other runs",
    means: "Something waited while the engine served other runs of your team.",
    colour: "--series-6",
    pattern: "hatched",
  },
  {
    cause: "queue",
    text: "Own queue",
    means: "An operation waited for an earlier one of its own that had not come or was not done.",
    colour: "--series-6",
    pattern: "full",
  },
  {
    cause: "files",
    text: "Files",
    means: "Weights were read or written: saves, loads, being brought back after a crash.",
    colour: "--series-2",
    pattern: "crossed",
  },
  {
    cause: "no_worker",
    text: "No worker",
    means: "Something waited and no worker served the base model.",
    colour: "--bad",
    pattern: "crossed",
  },
  {
    cause: "limited",
    text: "Limited",
    means: "Samples were turned away because too many were open.",
    colour: "--wait",
    pattern: "hatched",
  },
  {
    cause: "wire",
    text: "Handing over",
    means: "Requests on their way to the engine, results on their way to your program.",
    colour: "--series-3",
    pattern: "full",
  },
  {
    cause: "unexplained",
    text: "Unexplained",
    means: "Something was slow that is not measured.",
    colour: "--ink",
    pattern: "hatched",
  },
];

const UNKNOWN = CAUSES[CAUSES.length - 1] as CauseLook;

export const lookOf = (cause: string): CauseLook =>
  CAUSES.find((one) => one.cause === cause) ?? UNKNOWN;

/** What an operation's kind is drawn in: work with gradients, steps, samples, and files. */
export function colourOf(kind: string): string {
  if (kind === "optim_step") return "--series-4";
  if (kind === "sample") return "--series-3";
  if (kind.startsWith("save") || kind.startsWith("load") || kind.startsWith("create"))
    return "--series-2";
  return "--series-1";
}

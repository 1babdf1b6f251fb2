/// A WebSocket of what happens (docs/live.md): kept open, and taken up again where it was cut.

/** What a server's frame holds; the rest of it is for whoever keeps state from events alone. */
export interface Frame {
  cursor: string;
  afresh?: boolean;
  events?: { kind: string; run: string | null }[];
  runs?: { id: string }[];
  workers?: { id: string }[];
}

interface Told {
  /** Each frame; the first after which nothing is known comes with `afresh`. */
  frame: (frame: Frame) => void;
  /** Whether frames are coming now. */
  open: (open: boolean) => void;
  /** Nobody is signed in any more. */
  signedOut: () => void;
}

export const SILENT_MS = 30_000;
const SIGNED_OUT = 4401;
// the address or the cursor cannot be read, or there is no such run or team: no other try helps
const FOR_GOOD = [4400, 4404];
const LONGEST_WAIT_MS = 30_000;

/** Keep a line open until what is returned is called. `query` is `run=…` or `team=…`. */
export function openLine(query: string, told: Told): () => void {
  let cursor: string | undefined;
  let tries = 0;
  let ended = false;
  let socket: WebSocket | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const later = (what: () => void, ms: number) => {
    clearTimeout(timer);
    timer = setTimeout(what, ms);
  };
  const open = () => {
    const after = cursor ? `&after=${encodeURIComponent(cursor)}` : "";
    const here = window.location;
    const scheme = here.protocol === "https:" ? "wss" : "ws";
    const line = new WebSocket(`${scheme}://${here.host}/api/console/live?${query}${after}`);
    socket = line;
    line.onmessage = (message) => {
      const frame: Frame = JSON.parse(message.data);
      const isFirst = cursor === undefined;
      cursor = frame.cursor;
      tries = 0;
      told.open(true);
      told.frame({ ...frame, afresh: frame.afresh || isFirst });
      later(() => line.close(), SILENT_MS);
    };
    line.onclose = ({ code }) => {
      if (ended) return;
      told.open(false);
      if (code === SIGNED_OUT) told.signedOut();
      if (code === SIGNED_OUT || FOR_GOOD.includes(code)) return clearTimeout(timer);
      later(open, Math.min(1000 * 2 ** tries++, LONGEST_WAIT_MS));
    };
    later(() => line.close(), SILENT_MS);
  };
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    socket?.close();
  };
}

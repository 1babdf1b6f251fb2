/// What of a team's news this tab has shown somebody. They have seen it when they leave or say so: what
/// is only loaded, in a tab that nobody looks at, counts for nothing.
import { api, take } from "../../api/client";

const shown = new Map<string, string>();

/** This much of a team's news stands on the screen; nothing while the tab is hidden. */
export function noteShown(team: string, cursor: string): void {
  if (document.visibilityState === "visible") shown.set(team, cursor);
}

/** Say that somebody has seen it. */
export async function markSeen(team: string, cursor: string): Promise<void> {
  shown.delete(team);
  await take(api.POST("/api/console/since", { body: { team, cursor } }));
}

/** Say what has been shown, once: the page is about to be gone. */
export function leave(): void {
  for (const [team, cursor] of shown) {
    // nobody is there to hear of an error
    void api
      .POST("/api/console/since", { body: { team, cursor }, keepalive: true })
      .catch(() => undefined);
  }
  shown.clear();
}

window.addEventListener("pagehide", leave);

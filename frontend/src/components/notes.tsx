/// What stands where there is nothing to show yet: loading, an error with a way on, an empty place.
import type { ReactNode } from "react";
import { Refused } from "../api/client";

export function Loading({ what }: { what: string }) {
  return (
    <p className="note" role="status">
      Loading {what} …
    </p>
  );
}

/** An error beside the part that failed; the rest of the page stays. */
export function Failed({ error, retry }: { error: Error; retry?: () => void }) {
  const lost = !(error instanceof Refused);
  return (
    <div className="note failed" role="alert">
      <p>
        <strong>{lost ? "The server does not answer." : "That did not work."}</strong>{" "}
        {lost ? "It is tried again by itself." : error.message}
      </p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

interface EmptyProps {
  title: string;
  /** `h1` where the page has no other heading. */
  heading?: "h1" | "h2";
  children?: ReactNode;
}

export function Empty({ title, heading: Heading = "h2", children }: EmptyProps) {
  return (
    <div className="empty">
      <Heading>{title}</Heading>
      {children}
    </div>
  );
}

interface MoreProps {
  pages: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
}

/** The way to the rest of a list that comes in pages; nothing where there is none. */
export function More({ pages }: MoreProps) {
  if (!pages.hasNextPage) return null;
  return (
    <p className="more">
      <button
        type="button"
        onClick={() => pages.fetchNextPage()}
        disabled={pages.isFetchingNextPage}
      >
        {pages.isFetchingNextPage ? "Loading …" : "Show more"}
      </button>
    </p>
  );
}

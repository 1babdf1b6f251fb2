/// The address as state: what a page shows stands in it, so that a copied link shows the same.
import { useCallback } from "react";
import { useLocation, useSearch } from "wouter";

export type Change = Record<string, string | null>;

/** The address's parameters, and a way to change some of them without a new entry in the history. */
export function useAddress(): [URLSearchParams, (change: Change) => void] {
  const search = useSearch();
  const [, navigate] = useLocation();
  const change = useCallback(
    (changes: Change) => {
      const parameters = new URLSearchParams(window.location.search);
      for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === "") parameters.delete(name);
        else parameters.set(name, value);
      }
      const query = parameters.toString();
      navigate(window.location.pathname + (query ? `?${query}` : ""), { replace: true });
    },
    [navigate],
  );
  return [new URLSearchParams(search), change];
}

/** A parameter that is a whole number from zero on, else null. */
export function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

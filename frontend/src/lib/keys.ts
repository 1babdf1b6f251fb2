/// Keys without modifiers, off while somebody types; they can be switched off (WCAG 2.1.4).
import { useEffect, useRef } from "react";

const OFF = "tinsmith.keys";

export const keysAreOn = () => localStorage.getItem(OFF) !== "off";
export const switchKeys = (on: boolean) =>
  on ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "off");

// while they are held, these go on; all else is done once
const GOES_ON = /^(j|k|\+|=|-|arrow.*)$/;

export type Keys = Record<string, (event: KeyboardEvent) => void>;

/** Listen to keys while the component is there; `"g r"` is two keys in a row, `"shift j"` a capital. */
export function useKeys(keys: Keys): void {
  const current = useRef(keys);
  current.current = keys;
  useEffect(() => {
    let before = "";
    let at = 0;
    const listen = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const types = target.closest(
        "input, textarea, select, [contenteditable], dialog, [role=menu]",
      );
      if (types || event.ctrlKey || event.metaKey || event.altKey || !keysAreOn()) return;
      const lower = event.key.toLowerCase();
      // what has the focus is what Enter opens
      if (lower === "enter" && target.closest("a, button, summary")) return;
      if (event.repeat && !GOES_ON.test(lower)) return;
      const key = /^[A-Z]$/.test(event.key) ? `shift ${lower}` : lower;
      // what follows a "g" is the second of two keys and nothing else, whoever listens to it
      const isSecond = before === "g" && event.timeStamp - at < 1000;
      const found = current.current[isSecond ? `g ${key}` : key];
      before = key;
      at = event.timeStamp;
      if (found) {
        event.preventDefault();
        found(event);
      }
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}

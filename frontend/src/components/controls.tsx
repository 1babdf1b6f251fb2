/// Small controls that several pages have: one of several, copy, a moment in time, a bar of progress.
import { useEffect, useState } from "react";
import { ago, moment, percent } from "../lib/format";

interface SegmentedProps<T extends string> {
  label: string;
  options: readonly { value: T; text: string }[];
  value: T;
  onChange: (value: T) => void;
}

/** One of a few words, as radio buttons are: arrows move, one is chosen. */
export function Segmented<T extends string>({
  label,
  options,
  value,
  onChange,
}: SegmentedProps<T>) {
  return (
    <fieldset className="segmented">
      <legend>{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={label}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          <span>{option.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button
      type="button"
      className="quiet"
      onClick={copy}
      aria-label={`Copy ${what}`}
      title={`Copy ${what}`}
    >
      {done ? "Copied" : "Copy"}
    </button>
  );
}

/** A moment, told as its distance from now, which goes on growing. */
export function Ago({ at }: { at: string }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 10_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <time dateTime={at} title={moment(at)}>
      {ago(at, Math.max(now, Date.parse(at)))}
    </time>
  );
}

export function Progress({ share, label }: { share: number; label: string }) {
  return (
    <span
      className="progress"
      role="progressbar"
      aria-label={label}
      aria-valuenow={Math.round(share * 100)}
      aria-valuemin={0}
      aria-valuemax={100}
      title={percent(share)}
    >
      <span style={{ inlineSize: `${share * 100}%` }} />
    </span>
  );
}

interface TeamChoiceProps {
  teams: { slug: string; name: string }[];
  slug: string | undefined;
  onChange: (slug: string) => void;
}

/** Of which of several teams a page tells; nothing to choose for whoever is in one alone. */
export function TeamChoice({ teams, slug, onChange }: TeamChoiceProps) {
  if (teams.length < 2) return null;
  return (
    <label className="select">
      Team{" "}
      <select value={slug} onChange={(event) => onChange(event.target.value)}>
        {teams.map((one) => (
          <option key={one.slug} value={one.slug}>
            {one.name}
          </option>
        ))}
      </select>
    </label>
  );
}

/// How much curves are smoothed: a slider that is finer near one, and a number beside it.
import { useEffect, useState } from "react";
import { placeOf, weightOf } from "./sections";

interface SmoothingProps {
  weight: number;
  onChange: (weight: number) => void;
}

export function Smoothing({ weight, onChange }: SmoothingProps) {
  const [shown, setShown] = useState(weight);
  useEffect(() => setShown(weight), [weight]);
  useEffect(() => {
    if (shown === weight) return;
    // while the slider moves nothing is asked for
    const timer = setTimeout(() => onChange(shown), 150);
    return () => clearTimeout(timer);
  });
  return (
    <div className="smoothing">
      <label>
        Smooth
        <input
          type="range"
          min={0}
          max={100}
          value={placeOf(shown)}
          onChange={(event) => setShown(weightOf(Number(event.target.value)))}
        />
      </label>
      <input
        type="number"
        aria-label="Weight of smoothing"
        min={0}
        max={0.999}
        step={0.001}
        value={shown}
        onChange={(event) => setShown(Math.min(0.999, Math.max(0, Number(event.target.value))))}
      />
    </div>
  );
}

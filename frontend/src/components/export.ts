/// A chart taken home: its numbers as CSV, its picture as PNG.
import type { Series } from "../api/client";

/** The buckets as CSV, one a line; empty where there is no finite value. */
export function csv(series: Series): string {
  const head = ["step", "least", "greatest", "last", ...(series.smooth.length ? ["smooth"] : [])];
  const rows = series.steps.map((step, place) =>
    [
      step,
      series.least[place],
      series.greatest[place],
      series.last[place],
      ...(series.smooth.length ? [series.smooth[place]] : []),
    ]
      .map((one) => one ?? "")
      .join(","),
  );
  return `${[head.join(","), ...rows].join("\n")}\n`;
}

export function save(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\w.-]+/g, "_");
  link.click();
  URL.revokeObjectURL(link.href);
}

/** The picture of a chart's canvas on the card's ground. */
export function savePicture(name: string, canvas: HTMLCanvasElement): void {
  const copy = document.createElement("canvas");
  copy.width = canvas.width;
  copy.height = canvas.height;
  const context = copy.getContext("2d");
  if (!context) return;
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--card");
  context.fillRect(0, 0, copy.width, copy.height);
  context.drawImage(canvas, 0, 0);
  copy.toBlob((blob) => blob && save(name, blob));
}

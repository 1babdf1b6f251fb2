/// A curve in the size of a word. It has no scale: the numbers stand beside it.

const WIDTH = 96;
const HEIGHT = 24;

/** The points of a curve in a box, as an SVG path; gaps where a value is missing. */
export function sparkPath(values: (number | null)[], width = WIDTH, height = HEIGHT): string {
  const known = values.filter((one): one is number => one !== null && Number.isFinite(one));
  if (known.length < 2) return "";
  const least = Math.min(...known);
  const span = Math.max(...known) - least || 1;
  let pen = "M";
  let path = "";
  values.forEach((one, place) => {
    if (one === null || !Number.isFinite(one)) {
      pen = "M";
      return;
    }
    const x = (place / (values.length - 1)) * (width - 4) + 2;
    const y = height - 3 - ((one - least) / span) * (height - 6);
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return path;
}

export function Spark({ values, wide = false }: { values: (number | null)[]; wide?: boolean }) {
  const width = wide ? 220 : WIDTH;
  const height = wide ? 40 : HEIGHT;
  const path = sparkPath(values, width, height);
  if (!path) return <span className="spark" />;
  return (
    <svg
      className={wide ? "spark wide" : "spark"}
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <path d={path} />
    </svg>
  );
}

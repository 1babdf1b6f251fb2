/// One chart with its name, the value under the cursor, and what can be done with it.
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useRef, useState } from "react";
import { Link } from "wouter";
import { Chart, type ChartProps } from "../../components/chart";
import { csv, save, savePicture } from "../../components/export";
import { labelOf } from "../../lib/engine";
import { value } from "../../lib/format";

interface CardProps extends ChartProps {
  /** Where a press on the name leads. */
  link?: string;
}

const ROWS = 100;

export function ChartCard({ link, ...props }: CardProps) {
  const { series } = props;
  const readout = useRef<HTMLParagraphElement>(null);
  const card = useRef<HTMLElement>(null);
  const [table, showTable] = useState(false);
  const last = series.smooth.at(-1) ?? series.last.findLast((one) => one !== null);
  const rest = `latest ${value(last)}`;
  return (
    <article className="card chart" ref={card} aria-label={series.key}>
      <header>
        <h3 title={series.key}>
          {link ? <Link to={link}>{labelOf(series.key)}</Link> : labelOf(series.key)}
        </h3>
        <Menu.Root modal={false}>
          <Menu.Trigger className="quiet dots" aria-label={`More of ${series.key}`}>
            ⋯
          </Menu.Trigger>
          <Menu.Portal>
            <Menu.Content className="menu" align="end" sideOffset={4} collisionPadding={8}>
              <Menu.Item onSelect={() => showTable(!table)}>
                {table ? "Hide the table" : "Show as a table"}
              </Menu.Item>
              <Menu.Item
                onSelect={() =>
                  save(`${series.key}.csv`, new Blob([csv(series)], { type: "text/csv" }))
                }
              >
                Save as CSV
              </Menu.Item>
              <Menu.Item
                onSelect={() => {
                  const canvas = card.current?.querySelector("canvas");
                  if (canvas) savePicture(`${series.key}.png`, canvas);
                }}
              >
                Save as PNG
              </Menu.Item>
            </Menu.Content>
          </Menu.Portal>
        </Menu.Root>
      </header>
      <p className="readout" ref={readout}>
        {rest}
      </p>
      {series.total === 0 ? (
        <p className="none">No values between these steps.</p>
      ) : (
        <Chart
          {...props}
          onReadout={(text) => {
            if (readout.current) readout.current.textContent = text || rest;
          }}
        />
      )}
      {series.not_finite > 0 && (
        <p className="told">
          {series.not_finite} of {series.total} values are not finite and leave gaps.
        </p>
      )}
      {series.cut && <p className="told">Only the newest {series.total} values are shown.</p>}
      {table && <ValueTable {...props} />}
    </article>
  );
}

function ValueTable({ series }: ChartProps) {
  const every = Math.max(1, Math.ceil(series.steps.length / ROWS));
  const places = series.steps.map((_, place) => place).filter((place) => place % every === 0);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section className="values" tabIndex={0} aria-label={`Values of ${series.key}`}>
      <table>
        <thead>
          <tr>
            <th scope="col">Step</th>
            <th scope="col">Value</th>
            <th scope="col">Least</th>
            <th scope="col">Greatest</th>
          </tr>
        </thead>
        <tbody>
          {places.map((place) => (
            <tr key={series.steps[place]}>
              <th scope="row">{series.steps[place]}</th>
              <td>{value(series.last[place])}</td>
              <td>{value(series.least[place])}</td>
              <td>{value(series.greatest[place])}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/// What was used, kind by kind.

import type { TeamMonth } from "../../api/client";
import { count, money } from "../../lib/format";
import { KINDS } from "../../lib/kinds";

export function OfKinds({ kinds, priced }: { kinds: TeamMonth["used"]["kinds"]; priced: boolean }) {
  return (
    <div className="card table-card">
      <table className="runs">
        <thead>
          <tr>
            <th scope="col">Kind</th>
            <th scope="col" className="number">
              Tokens
            </th>
            {priced && (
              <th scope="col" className="number">
                Cost
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {kinds.map((one) => (
            <tr key={one.kind}>
              <th scope="row">
                <span className="name">
                  {one.kind === "checkpoint" ? "Checkpoints made" : `Tokens ${KINDS[one.kind]}`}
                </span>
              </th>
              <td data-label="Tokens" className="number">
                {count(one.quantity)}
              </td>
              {priced && (
                <td data-label="Cost" className="number">
                  {one.cost === null ? <span className="soft">–</span> : money(one.cost)}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

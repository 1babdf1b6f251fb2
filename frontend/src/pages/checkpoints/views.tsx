/// The two ways to look at checkpoints: a list, and where weights came from and went to.
import { lazy, type ReactNode, Suspense } from "react";
import { Segmented } from "../../components/controls";
import { Loading } from "../../components/notes";
import { useAddress } from "../../lib/address";

const LineageView = lazy(() => import("./lineage"));
const VIEWS = [
  { value: "list", text: "List" },
  { value: "lineage", text: "Lineage" },
] as const;

/** The list, or the lineage where the address says so. */
export function Views({
  of,
  children,
}: {
  of: { run: string } | { team: string };
  children: ReactNode;
}) {
  const [address, change] = useAddress();
  const view = address.get("view") === "lineage" ? "lineage" : "list";
  return (
    <>
      <div className="views">
        <Segmented
          label="View"
          options={VIEWS}
          value={view}
          onChange={(chosen) => change({ view: chosen === "list" ? null : chosen })}
        />
      </div>
      {view === "list" ? (
        children
      ) : (
        <Suspense fallback={<Loading what="the lineage" />}>
          <LineageView key={Object.values(of).join()} of={of} />
        </Suspense>
      )}
    </>
  );
}

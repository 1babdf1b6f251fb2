/// All checkpoints of a team, newest first.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, take } from "../../api/client";
import { SELDOM_MS } from "../../api/live";
import { toldOfTeams, useTold } from "../../api/told";
import { useMe } from "../../app";
import { TeamChoice } from "../../components/controls";
import { Empty, Failed, Loading } from "../../components/notes";
import { useAddress } from "../../lib/address";
import { bytes } from "../../lib/format";
import { CheckpointBoard } from "./board";
import { Views } from "./views";

const PAGE = 50;

export function CheckpointsPage() {
  const me = useMe();
  useTold(toldOfTeams(me));
  const [address, change] = useAddress();
  const team = me.teams.find((one) => one.slug === address.get("team")) ?? me.teams[0];
  const found = useInfiniteQuery({
    queryKey: ["checkpoints", team?.slug],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/api/console/checkpoints", {
          params: { query: { limit: PAGE, offset: pageParam, ...(team && { team: team.slug }) } },
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: (page, pages) => {
      const seen = pages.reduce((sum, one) => sum + one.checkpoints.length, 0);
      return page.checkpoints.length && seen < page.total ? seen : null;
    },
    refetchInterval: SELDOM_MS,
  });
  useEffect(() => {
    document.title = "Checkpoints · Tinsmith";
  }, []);
  const rows = found.data?.pages.flatMap((page) => page.checkpoints) ?? [];
  const total = found.data?.pages[0]?.total ?? 0;
  return (
    <>
      <div className="head">
        <div>
          <h1>Checkpoints</h1>
          {rows.length > 0 && (
            <p className="sub">
              {total} of {team?.name}
              {total === rows.length &&
                `, ${bytes(rows.reduce((sum, one) => sum + one.size_bytes, 0))} in all`}
            </p>
          )}
        </div>
        <TeamChoice
          teams={me.teams}
          slug={team?.slug}
          onChange={(slug) => change({ team: slug })}
        />
      </div>
      <Views of={{ team: team?.slug ?? "" }}>
        {found.isPending && <Loading what="checkpoints" />}
        {found.error && <Failed error={found.error} retry={() => found.refetch()} />}
        {found.data && !rows.length && (
          <Empty title="No checkpoints yet">
            <p>
              Weights that a program saves stand here: what to train on from, and what to sample
              from.
            </p>
          </Empty>
        )}
        {team && <CheckpointBoard key={team.slug} rows={rows} team={team.slug} />}
        {found.hasNextPage && (
          <p className="more">
            <button type="button" onClick={() => found.fetchNextPage()}>
              Show more
            </button>
          </p>
        )}
      </Views>
    </>
  );
}

/// About a run: with which settings it was made, by which program, in which session.
import type { ReactNode } from "react";
import { Link } from "wouter";
import type { RunDetail } from "../../api/client";
import { Ago, Copy } from "../../components/controls";
import { moment } from "../../lib/format";

type Entries = [string, ReactNode][];

export default function AboutPage({ run }: { run: RunDetail }) {
  const { config, ...metadata } = run.user_metadata as Record<string, unknown>;
  const settings = entriesOf(config);
  return (
    <div className="two about">
      <Facts
        title="Adapter"
        entries={[
          ["Run", <Id key="run" text={run.id} what="the run's id" />],
          ["Base model", run.base_model],
          ["Rank", run.rank],
          ["Seed", run.seed],
          ["Trains", trained(run)],
          [
            "Begun from",
            run.loaded_from ? (
              <Id key="from" text={run.loaded_from} what="the address" />
            ) : (
              "the base model"
            ),
          ],
          ["Made", moment(run.created_at)],
          ["Team", run.team],
        ]}
      />
      {run.session && (
        <Facts
          title="Session"
          entries={[
            [
              "Session",
              <Link key="session" to={`/sessions/${run.session.id}`}>
                {run.session.id}
              </Link>,
            ],
            ["Name", run.session.display_name || "–"],
            ["Project", run.session.project_id ?? "default"],
            ["Client", run.session.sdk_version || "–"],
            ["Last heard of", <Ago key="heard" at={run.session.heartbeat_at} />],
            ["Ended", ended(run.session)],
            ["Tags", run.tags.join(", ") || "–"],
          ]}
        />
      )}

      <section className="card">
        <h2>In a program</h2>
        <Snippet
          text={`import tinsmith\n\nrest = tinsmith.ServiceClient().create_rest_client()\nrest.get_training_run("${run.id}").result()`}
        />
        <h2>On the command line</h2>
        <Snippet text={`tinsmith runs show ${run.id}`} />
      </section>
      {Object.keys(metadata).length > 0 && (
        <Facts title="Metadata" entries={entriesOf(metadata) ?? []} />
      )}
      {settings && <Facts title="Configuration" entries={settings} long />}
    </div>
  );
}

function Snippet({ text }: { text: string }) {
  return (
    <div className="snippet">
      <pre>
        <code>{text}</code>
      </pre>
      <Copy text={text} what="these lines" />
    </div>
  );
}

function Facts({
  title,
  entries,
  long = false,
}: {
  title: string;
  entries: Entries;
  long?: boolean;
}) {
  return (
    <section className={long ? "card long" : "card"}>
      <h2>{title}</h2>
      <dl className="entries">
        {entries.map(([name, what]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Id({ text, what }: { text: string; what: string }) {
  return (
    <>
      <code>{text}</code> <Copy text={text} what={what} />
    </>
  );
}

function trained(run: RunDetail): string {
  const parts = [
    run.train_attn && "attention",
    run.train_mlp && "feed-forward",
    run.train_unembed && "unembedding",
  ].filter(Boolean);
  return parts.join(", ") || "nothing";
}

function ended(session: NonNullable<RunDetail["session"]>): ReactNode {
  if (!session.ended_at) return "still open";
  return (
    <>
      <Ago at={session.ended_at} /> ({session.end_reason}
      {session.end_detail && `: ${session.end_detail}`})
    </>
  );
}

/** A value as rows of a table: of an object its entries, also where it came as JSON text. */
export function entriesOf(given: unknown): [string, string][] | null {
  let found = given;
  if (typeof given === "string") {
    try {
      found = JSON.parse(given);
    } catch {
      return [["value", given]];
    }
  }
  if (found === null || typeof found !== "object") return null;
  return Object.entries(found).map(([name, value]) => [
    name,
    typeof value === "string" ? value || "–" : value === null ? "–" : JSON.stringify(value),
  ]);
}

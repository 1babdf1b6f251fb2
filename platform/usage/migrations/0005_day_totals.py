"""The ledger is added up as it is written, by PostgreSQL itself, whoever writes it.

Workers of the version before go on writing while this is done and afterwards. The trigger waits
for who is writing, and only then is noted up to where it had not been there: what lies before
that, the next migration adds up, beside whoever writes.
"""

import django.db.models.deletion
from django.db import migrations, models

_PRICED = ("train", "score", "prefill", "prefill_cached", "sample")
_KINDS = (*_PRICED, "checkpoint")
_COSTS = tuple(f"{kind}_cost" for kind in _PRICED)
_TOKENS = ", ".join(f"coalesce(sum(quantity) FILTER (WHERE kind = '{kind}'), 0)" for kind in _KINDS)
_AMOUNTS = ", ".join(f"sum(quantity * price) FILTER (WHERE kind = '{kind}')" for kind in _PRICED)
_ADDED = ", ".join(
    [f"{name} = t.{name} + excluded.{name}" for name in (*_KINDS, "unpriced")]
    # what had no price so far may have one now
    + [
        f"{name} = coalesce(t.{name} + excluded.{name}, t.{name}, excluded.{name})"
        for name in _COSTS
    ]
)
# All lock the rows in one order, so that nobody waits in a circle. A run of another team's that is
# sampled from is not this team's to add up by.
ADD_UP = f"""
WITH days (team_id, target, day, base_model, {", ".join((*_KINDS, *_COSTS))}, unpriced) AS (
    SELECT team_id, whose, day, min(base_model), {_TOKENS}, {_AMOUNTS},
           coalesce(sum(quantity) FILTER (WHERE price IS NULL AND kind <> 'checkpoint'), 0)
    FROM (
        SELECT e.*, (e.created_at AT TIME ZONE 'UTC')::date AS day, coalesce(
            (SELECT r.id FROM runs_sampler s JOIN runs_trainingrun r ON r.id = s.run_id
             WHERE s.id = e.target AND r.team_id = e.team_id), e.target) AS whose
        FROM {{entries}} e
    ) entered
    GROUP BY team_id, whose, day
), by_day AS (
    INSERT INTO usage_daytotal AS t
        (team_id, target, day, base_model, {", ".join((*_KINDS, *_COSTS))}, unpriced)
    SELECT * FROM days ORDER BY target, day
    ON CONFLICT (target, day) DO UPDATE SET {_ADDED}
)
INSERT INTO usage_monthtotal AS t (team_id, target, month, tokens, cost)
SELECT team_id, target, date_trunc('month', day)::date, sum({" + ".join(_PRICED)}),
       sum({" + ".join(f"coalesce({cost}, 0)" for cost in _COSTS)})
FROM days GROUP BY 1, 2, 3 ORDER BY 2, 3
ON CONFLICT (target, month)
    DO UPDATE SET tokens = t.tokens + excluded.tokens, cost = t.cost + excluded.cost
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_announce_role_changes"),
        ("runs", "0001_initial"),
        ("usage", "0004_usage_by_target"),
    ]

    operations = [
        migrations.CreateModel(
            name="DayTotal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "target",
                    models.TextField(
                        help_text="The training run; of a sampler that is of none of the team's, the sampler."
                    ),
                ),
                ("day", models.DateField()),
                ("base_model", models.TextField()),
                ("train", models.BigIntegerField(help_text="Tokens, as of the other kinds.")),
                ("score", models.BigIntegerField()),
                ("prefill", models.BigIntegerField()),
                ("prefill_cached", models.BigIntegerField()),
                ("sample", models.BigIntegerField()),
                ("checkpoint", models.BigIntegerField(help_text="How many were made.")),
                ("train_cost", models.DecimalField(decimal_places=6, max_digits=30, null=True)),
                ("score_cost", models.DecimalField(decimal_places=6, max_digits=30, null=True)),
                ("prefill_cost", models.DecimalField(decimal_places=6, max_digits=30, null=True)),
                (
                    "prefill_cached_cost",
                    models.DecimalField(decimal_places=6, max_digits=30, null=True),
                ),
                ("sample_cost", models.DecimalField(decimal_places=6, max_digits=30, null=True)),
                ("unpriced", models.BigIntegerField(help_text="Tokens that had no price.")),
                (
                    "team",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["team", "day"], name="day_total_by_team")],
                "constraints": [
                    models.UniqueConstraint(fields=("target", "day"), name="day_total_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="MonthTotal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("target", models.TextField(help_text="As of a day total.")),
                ("month", models.DateField(help_text="Its first day.")),
                ("tokens", models.BigIntegerField()),
                (
                    "cost",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="Millionths of a USD; 0 of what had no price.",
                        max_digits=30,
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["team", "month", "cost", "target"], name="month_total_by_cost"
                    ),
                    models.Index(
                        fields=["team", "month", "tokens", "target"], name="month_total_by_tokens"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("target", "month"), name="month_total_once")
                ],
            },
        ),
        migrations.RunSQL(
            f"""
            CREATE FUNCTION usage_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                {ADD_UP.format(entries="entered_now")};
                RETURN NULL;
            END $$;
            CREATE TRIGGER usage_add_up AFTER INSERT ON usage_entry
                REFERENCING NEW TABLE AS entered_now
                FOR EACH STATEMENT EXECUTE FUNCTION usage_add_up();
            CREATE TABLE usage_backlog (up_to bigint NOT NULL);
            INSERT INTO usage_backlog SELECT coalesce(max(id), 0) FROM usage_entry;
            """,
            """
            DROP TABLE usage_backlog;
            DROP TRIGGER usage_add_up ON usage_entry;
            DROP FUNCTION usage_add_up();
            """,
        ),
    ]

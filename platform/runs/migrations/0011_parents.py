"""Where runs' weights came from, as far as it is known of those that there are."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

HOW = [("created", "Created"), ("loaded", "Loaded"), ("copied", "Copied")]


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_announce_role_changes"),
        ("runs", "0010_rollout_sequences"),
    ]

    operations = [
        migrations.CreateModel(
            name="Parent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "seq",
                    models.BigIntegerField(help_text="The operation that did it; 0 made the run."),
                ),
                ("how", models.TextField(choices=HOW)),
                ("source", models.TextField(help_text="The `tinker://` address.")),
                ("source_run", models.TextField(help_text="The run in that address.")),
                (
                    "optimizer",
                    models.BooleanField(
                        blank=True,
                        help_text="Whether the optimizer's state came along, if known.",
                        null=True,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parents",
                        to="runs.trainingrun",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["team", "source_run"], name="parent_by_source")],
                "constraints": [models.UniqueConstraint(fields=("run", "seq"), name="parent_once")],
            },
        ),
        # a run that was made from a checkpoint says so itself; a copy's session is called so
        migrations.RunSQL(
            """
            INSERT INTO runs_parent (run_id, team_id, seq, how, source, source_run, created_at)
            SELECT r.id, r.team_id, 0,
                   CASE WHEN s.display_name = 'copy of ' || r.loaded_from
                        THEN 'copied' ELSE 'created' END,
                   r.loaded_from, split_part(substr(r.loaded_from, 10), '/', 1), r.created_at
            FROM runs_trainingrun r JOIN runs_session s ON s.id = r.session_id
            WHERE r.loaded_from IS NOT NULL
            """,
            migrations.RunSQL.noop,
        ),
    ]

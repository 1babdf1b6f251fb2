import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

# what the rows of runs and samplers said until now
FILL = """
INSERT INTO operations_lane (target, session_id, team_id, base_model_id, ordered, worker_id,
                             claimed_seq, applied_seq, snapshot_seq, snapshot_key, restoring,
                             restore_deaths, restore_failures, restore_after, opened_at, moved_at,
                             closed_at)
SELECT r.id, r.session_id, r.team_id, r.base_model_id, true, r.worker_id, r.claimed_seq,
       r.applied_seq, r.snapshot_seq, r.snapshot_key, r.restoring, r.restore_deaths,
       r.restore_failures, r.restore_after, r.created_at, r.last_request_at, s.ended_at
FROM runs_trainingrun r JOIN runs_session s ON s.id = r.session_id;
INSERT INTO operations_lane (target, session_id, team_id, base_model_id, ordered, completions,
                             joined, opened_at, moved_at, closed_at)
SELECT p.id, p.session_id, p.team_id, p.base_model_id, false, p.completions, p.joined,
       p.created_at, p.created_at, s.ended_at
FROM runs_sampler p JOIN runs_session s ON s.id = p.session_id;
"""

# a submit that crossed the release of its session could be stored after it, and waited for ever
FAIL_STRANDED = """
UPDATE operations_operation o SET state = 'failed', error_category = 'user', finished_at = now(),
    error = 'the session has ended before this was done'
FROM operations_lane l JOIN runs_session s ON s.id = l.session_id
WHERE o.target = l.target AND o.state IN ('queued', 'running') AND s.released_at IS NOT NULL;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_announce_key_changes"),
        ("catalog", "0002_prices"),
        ("operations", "0006_missing"),
        ("runs", "0008_restoring"),
    ]

    operations = [
        migrations.CreateModel(
            name="Lane",
            fields=[
                ("target", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("session_id", models.CharField(max_length=36)),
                ("ordered", models.BooleanField()),
                ("claimed_seq", models.BigIntegerField(db_default=-1)),
                ("applied_seq", models.BigIntegerField(db_default=-1)),
                ("snapshot_seq", models.BigIntegerField(db_default=-1)),
                ("snapshot_key", models.TextField(blank=True, null=True)),
                (
                    "restoring",
                    models.BooleanField(
                        db_default=False, help_text="Its worker is bringing it back after a crash."
                    ),
                ),
                (
                    "restore_deaths",
                    models.SmallIntegerField(
                        db_default=0,
                        help_text="How many workers in a row died while they restored it.",
                    ),
                ),
                (
                    "restore_failures",
                    models.SmallIntegerField(
                        db_default=0,
                        help_text="How often in a row restoring it failed for what may pass.",
                    ),
                ),
                (
                    "restore_after",
                    models.DateTimeField(
                        blank=True, help_text="It is not to be restored again before.", null=True
                    ),
                ),
                (
                    "completions",
                    models.BigIntegerField(
                        db_default=0, help_text="How many samples are finished."
                    ),
                ),
                (
                    "joined",
                    models.BigIntegerField(
                        db_default=0, help_text="How many clients have joined it."
                    ),
                ),
                (
                    "opened_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "moved_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When operations last finished.",
                    ),
                ),
                (
                    "closed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="From when on it takes nothing: its session has ended.",
                        null=True,
                    ),
                ),
                (
                    "base_model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lanes",
                        to="catalog.basemodel",
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lanes",
                        to="accounts.team",
                    ),
                ),
                (
                    "worker",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="lanes",
                        to="operations.worker",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["session_id"], name="lane_by_session"),
                    models.Index(
                        condition=models.Q(("worker__isnull", False)),
                        fields=["worker"],
                        name="lane_by_worker",
                    ),
                    models.Index(
                        condition=models.Q(("snapshot_key__isnull", False)),
                        fields=["snapshot_key"],
                        name="lane_by_snapshot",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("snapshot_seq__lte", models.F("applied_seq")),
                            ("applied_seq__lte", models.F("claimed_seq")),
                        ),
                        name="lane_seqs_ordered",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ordered", True),
                            models.Q(("claimed_seq", -1), ("snapshot_key", None), ("worker", None)),
                            _connector="OR",
                        ),
                        name="lane_of_a_sampler_is_nobodys",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(FAIL_STRANDED, migrations.RunSQL.noop),
    ]

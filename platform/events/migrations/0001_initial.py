import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import events.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0002_announce_key_changes"),
    ]

    operations = [
        migrations.CreateModel(
            name="Forgotten",
            fields=[
                ("id", models.SmallIntegerField(db_default=1, primary_key=True, serialize=False)),
                ("xid", events.models.TransactionId()),
            ],
            options={
                "verbose_name": "forgotten events",
                "verbose_name_plural": "forgotten events",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("id", 1)), name="forgotten_is_one_row"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "xid",
                    events.models.TransactionId(
                        db_default=events.models.CurrentTransaction(), editable=False
                    ),
                ),
                (
                    "run_id",
                    models.TextField(
                        blank=True, help_text="The run it belongs to, if any.", null=True
                    ),
                ),
                (
                    "kind",
                    models.TextField(
                        choices=[
                            ("session.begun", "Session Begun"),
                            ("session.moved", "Session Moved"),
                            ("session.ended", "Session Ended"),
                            ("run.created", "Run Created"),
                            ("run.ended", "Run Ended"),
                            ("sampler.created", "Sampler Created"),
                            ("metrics.logged", "Metrics Logged"),
                            ("rollouts.logged", "Rollouts Logged"),
                            ("checkpoint.saved", "Checkpoint Saved"),
                            ("checkpoint.published", "Checkpoint Published"),
                            ("checkpoint.unpublished", "Checkpoint Unpublished"),
                            ("checkpoint.ttl_set", "Checkpoint Ttl Set"),
                            ("checkpoint.deleted", "Checkpoint Deleted"),
                            ("checkpoint.expired", "Checkpoint Expired"),
                            ("member.added", "Member Added"),
                            ("member.changed", "Member Changed"),
                            ("member.removed", "Member Removed"),
                            ("key.created", "Key Created"),
                            ("key.changed", "Key Changed"),
                            ("key.revoked", "Key Revoked"),
                        ]
                    ),
                ),
                ("about", models.TextField(help_text="Whom it happened to: an id, an address.")),
                ("data", models.JSONField(blank=True, db_default={})),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
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
                    models.Index(fields=["xid"], name="event_by_transaction"),
                    models.Index(fields=["team", "xid"], name="event_of_team"),
                    models.Index(
                        condition=models.Q(("run_id__isnull", False)),
                        fields=["run_id", "xid"],
                        name="event_of_run",
                    ),
                ],
            },
        ),
    ]

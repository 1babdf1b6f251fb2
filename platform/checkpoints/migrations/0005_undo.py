"""Deleted checkpoints keep their row and their files for a while, and saves know their step."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

SEGMENTS = [
    ("weights", "Training"),
    ("sampler_weights", "Sampler"),
    ("external_weights", "External"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_announce_role_changes"),
        ("checkpoints", "0004_encrypted_checkpoints"),
        ("runs", "0010_rollout_sequences"),
    ]

    operations = [
        migrations.AddField(
            model_name="checkpoint",
            name="restored_at",
            field=models.DateTimeField(
                blank=True,
                help_text="Since when its storage counts again, after an undo.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="checkpoint",
            name="step",
            field=models.BigIntegerField(
                blank=True,
                help_text="Of what its program had recorded last when it was saved.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Deleted",
            fields=[
                (
                    "id",
                    models.BigIntegerField(
                        help_text="The checkpoint's.", primary_key=True, serialize=False
                    ),
                ),
                ("segment", models.TextField(choices=SEGMENTS)),
                ("name", models.TextField()),
                ("key", models.TextField(unique=True)),
                ("size_bytes", models.BigIntegerField()),
                ("encrypted", models.BooleanField()),
                ("user_metadata", models.JSONField()),
                ("public", models.BooleanField()),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("step", models.BigIntegerField(blank=True, null=True)),
                (
                    "deleted_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "until",
                    models.DateTimeField(
                        help_text="Its files are kept, and it can be brought back."
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
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
                "verbose_name": "deleted checkpoint",
                "indexes": [
                    models.Index(fields=["until"], name="deleted_by_end"),
                    models.Index(fields=["team", "-deleted_at"], name="deleted_by_team"),
                    models.Index(fields=["run", "-deleted_at"], name="deleted_by_run"),
                ],
            },
        ),
    ]

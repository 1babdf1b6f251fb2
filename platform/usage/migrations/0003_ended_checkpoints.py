"""PostgreSQL itself notes what a checkpoint took when it is deleted, whoever deletes it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("catalog", "0001_initial"),
        ("checkpoints", "0002_copies_leftovers"),
        ("runs", "0001_initial"),
        ("usage", "0002_append_only"),
    ]

    operations = [
        migrations.CreateModel(
            name="EndedCheckpoint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("session_id", models.TextField()),
                ("base_model", models.TextField()),
                ("path", models.TextField(help_text="The `tinker://` address it had.")),
                ("size_bytes", models.BigIntegerField()),
                ("created_at", models.DateTimeField()),
                (
                    "ended_at",
                    models.DateTimeField(
                        help_text="When it was deleted or replaced; if it expired before, when it expired."
                    ),
                ),
                (
                    "team",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.team",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["team", "ended_at"], name="ended_checkpoint_by_team")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("created_at__lte", models.F("ended_at"))),
                        name="ended_checkpoint_ends_last",
                    )
                ],
            },
        ),
        migrations.RunSQL(
            """
            CREATE TRIGGER usage_append_only BEFORE UPDATE OR DELETE ON usage_endedcheckpoint
                FOR EACH ROW EXECUTE FUNCTION usage_refuse_change();
            CREATE FUNCTION usage_note_ended_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO usage_endedcheckpoint
                    (team_id, session_id, base_model, path, size_bytes, created_at, ended_at)
                SELECT OLD.team_id, r.session_id, b.name,
                       'tinker://' || OLD.run_id || '/' || OLD.segment || '/' || OLD.name,
                       OLD.size_bytes, OLD.created_at,
                       greatest(OLD.created_at, least(OLD.expires_at, now()))
                FROM runs_trainingrun r JOIN catalog_basemodel b ON b.id = r.base_model_id
                WHERE r.id = OLD.run_id;
                RETURN NULL;
            END $$;
            CREATE TRIGGER usage_note_ended AFTER DELETE ON checkpoints_checkpoint
                FOR EACH ROW EXECUTE FUNCTION usage_note_ended_checkpoint();
            """,
            """
            DROP TRIGGER usage_note_ended ON checkpoints_checkpoint;
            DROP FUNCTION usage_note_ended_checkpoint();
            DROP TRIGGER usage_append_only ON usage_endedcheckpoint;
            """,
        ),
    ]

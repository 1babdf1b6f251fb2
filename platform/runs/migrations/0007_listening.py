import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0006_runs_by_worker_and_snapshot")]

    operations = [
        migrations.CreateModel(
            name="Listening",
            fields=[
                ("id", models.SmallIntegerField(db_default=1, primary_key=True, serialize=False)),
                ("seconds", models.FloatField(db_default=0)),
                (
                    "renewed_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("id", 1)), name="listening_is_one_clock"
                    )
                ]
            },
        ),
        migrations.AddField(
            model_name="session",
            name="heard_at_s",
            field=models.FloatField(
                db_default=0,
                help_text="What the clock of listening showed at the last heartbeat.",
            ),
        ),
        migrations.RemoveIndex(model_name="session", name="session_by_heartbeat"),
        migrations.AddIndex(
            model_name="session",
            index=models.Index(
                condition=models.Q(("ended_at", None)),
                fields=["heard_at_s"],
                name="session_by_last_heard",
            ),
        ),
    ]

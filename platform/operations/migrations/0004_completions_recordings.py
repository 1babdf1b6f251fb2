import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("operations", "0003_save_weights_external")]

    operations = [
        migrations.CreateModel(
            name="Recording",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("session_id", models.CharField(max_length=36)),
                ("tokens", models.BinaryField()),
                ("logprobs", models.BinaryField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["created_at"], name="recording_by_age")],
            },
        ),
        migrations.AddField(
            model_name="operation",
            name="completion",
            field=models.BigIntegerField(
                blank=True,
                help_text="Of a sample: its place among its sampler's finished ones.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                condition=models.Q(("completion__isnull", False)),
                fields=["target", "completion"],
                name="operation_by_completion",
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                condition=models.Q(("kind", "sample"), ("state__in", ["queued", "running"])),
                fields=["team"],
                name="operation_open_samples",
            ),
        ),
    ]

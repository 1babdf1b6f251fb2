from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_inflight_samplers")]

    operations = [
        migrations.AddField(
            model_name="session",
            name="results_forgotten_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When the results of its operations had been deleted.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="session",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", False), ("results_forgotten_at", None)),
                fields=["ended_at"],
                name="session_with_results",
            ),
        ),
    ]

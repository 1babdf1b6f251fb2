from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0005_results_forgotten")]

    operations = [
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(
                condition=models.Q(("worker_id__isnull", False)),
                fields=["worker_id"],
                name="run_by_worker",
            ),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(
                condition=models.Q(("snapshot_key__isnull", False)),
                fields=["snapshot_key"],
                name="run_by_snapshot",
            ),
        ),
    ]

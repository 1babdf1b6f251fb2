"""What a run has used is shown wherever the run is, so it is found by the run."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("usage", "0003_ended_checkpoints")]

    operations = [
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(fields=["target"], name="usage_by_target"),
        ),
    ]

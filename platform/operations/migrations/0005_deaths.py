from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("operations", "0004_completions_recordings")]

    operations = [
        migrations.AddField(
            model_name="operation",
            name="deaths",
            field=models.SmallIntegerField(
                db_default=0, help_text="How many workers died while they had it in hand."
            ),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                condition=models.Q(("deaths__gte", 2), ("state", "queued")),
                fields=["pool"],
                name="operation_suspects",
            ),
        ),
    ]

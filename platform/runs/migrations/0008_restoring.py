from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0007_listening")]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="restoring",
            field=models.BooleanField(
                db_default=False, help_text="Its worker is bringing it back after a crash."
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="restore_deaths",
            field=models.SmallIntegerField(
                db_default=0, help_text="How many workers in a row died while they restored it."
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="restore_failures",
            field=models.SmallIntegerField(
                db_default=0,
                help_text="How often in a row restoring it failed for what may pass.",
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="restore_after",
            field=models.DateTimeField(
                blank=True, help_text="It is not to be restored again before.", null=True
            ),
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0003_recordings")]

    operations = [
        migrations.AddField(
            model_name="sampler",
            name="inflight_seq",
            field=models.BigIntegerField(
                blank=True,
                help_text="The save of its run that its weights are from, if they follow later saves.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="sampler",
            name="joined",
            field=models.BigIntegerField(
                db_default=0, help_text="How many clients have joined it."
            ),
        ),
        migrations.AddField(
            model_name="sampler",
            name="completions",
            field=models.BigIntegerField(db_default=0, help_text="How many samples are finished."),
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("checkpoints", "0002_copies_leftovers")]

    operations = [
        migrations.AddField(
            model_name="leftover",
            name="inflight_run_id",
            field=models.CharField(
                blank=True,
                help_text="They were the weights of this run's inflight samplers: samples claimed"
                " before `not_before` may still use them.",
                max_length=64,
                null=True,
            ),
        ),
    ]

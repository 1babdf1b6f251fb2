from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("checkpoints", "0003_leftovers_of_inflight_samplers")]

    operations = [
        migrations.AddField(
            model_name="checkpoint",
            name="encrypted",
            field=models.BooleanField(
                db_default=False,
                help_text="Only the holders of the age keys it was saved for can read its files.",
            ),
        ),
    ]

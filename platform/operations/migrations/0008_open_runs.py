from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("operations", "0007_lanes"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="lane",
            index=models.Index(
                condition=models.Q(("closed_at", None), ("ordered", True)),
                fields=["opened_at"],
                name="lane_of_open_run",
            ),
        ),
    ]

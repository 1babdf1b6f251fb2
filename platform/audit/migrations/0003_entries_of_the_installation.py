"""What concerns the whole installation, such as signing in to the admin, is no team's."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("audit", "0002_append_only"),
    ]

    operations = [
        migrations.AlterField(
            model_name="entry",
            name="team",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                help_text="None: it concerns the whole installation.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.team",
            ),
        ),
    ]

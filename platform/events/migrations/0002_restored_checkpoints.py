"""Kinds of events about checkpoints that are brought back, or given up."""

from django.db import migrations, models

from events.models import Kind


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="event", name="kind", field=models.TextField(choices=Kind.choices)
        ),
    ]

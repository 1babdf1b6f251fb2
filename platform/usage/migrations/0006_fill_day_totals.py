"""What was in the ledger before its trigger was there."""

from importlib import import_module

from django.db import migrations

_ADD_UP = import_module("usage.migrations.0005_day_totals").ADD_UP


class Migration(migrations.Migration):
    dependencies = [("usage", "0005_day_totals")]

    operations = [
        migrations.RunSQL(
            [
                _ADD_UP.format(
                    entries="(SELECT * FROM usage_entry WHERE id <= (SELECT up_to FROM usage_backlog))"
                ),
                "DROP TABLE usage_backlog",
            ],
            "CREATE TABLE usage_backlog (up_to bigint NOT NULL)",
        ),
    ]

"""Bodies and results are stored outside their rows and uncompressed: they are arrays already."""

from django.db import migrations

_COLUMNS = (("operations_payload", "body"), ("operations_result", "body"))


class Migration(migrations.Migration):
    dependencies = [("operations", "0001_initial")]
    operations = [
        migrations.RunSQL(
            [
                f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL"
                for table, column in _COLUMNS
            ],
            [
                f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTENDED"
                for table, column in _COLUMNS
            ],
        )
    ]

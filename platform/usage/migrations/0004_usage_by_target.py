"""What a run has used is shown wherever the run is, so it is found by the run.

Workers finish operations while this is built: an index built in the usual way would keep them from
writing to the ledger until it is done.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("usage", "0003_ended_checkpoints")]

    operations = [
        AddIndexConcurrently(
            model_name="entry",
            index=models.Index(fields=["target"], name="usage_by_target"),
        ),
    ]

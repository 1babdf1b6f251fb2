"""A kind of operation for requests that never came."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """One more choice: nothing changes in the database."""

    dependencies = [
        ("operations", "0005_deaths"),
    ]

    operations = [
        migrations.AlterField(
            model_name="operation",
            name="kind",
            field=models.TextField(
                choices=[
                    ("create_run", "Create Run"),
                    ("create_run_from_checkpoint", "Create Run From Checkpoint"),
                    ("forward_backward", "Forward Backward"),
                    ("optim_step", "Optim Step"),
                    ("save_weights", "Save Weights"),
                    ("load_weights", "Load Weights"),
                    ("save_weights_for_sampler", "Save Weights For Sampler"),
                    ("save_weights_external", "Save Weights External"),
                    ("sample", "Sample"),
                    ("refused", "Refused"),
                    ("missing", "Missing"),
                ]
            ),
        ),
    ]

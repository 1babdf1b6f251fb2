from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0008_restoring"),
        ("operations", "0007_lanes"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="trainingrun",
            name="run_seqs_ordered",
        ),
        migrations.RemoveIndex(
            model_name="trainingrun",
            name="run_by_worker",
        ),
        migrations.RemoveIndex(
            model_name="trainingrun",
            name="run_by_snapshot",
        ),
        migrations.RemoveField(
            model_name="sampler",
            name="completions",
        ),
        migrations.RemoveField(
            model_name="sampler",
            name="joined",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="applied_seq",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="claimed_seq",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="last_request_at",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="restore_after",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="restore_deaths",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="restore_failures",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="restoring",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="snapshot_key",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="snapshot_seq",
        ),
        migrations.RemoveField(
            model_name="trainingrun",
            name="worker",
        ),
    ]

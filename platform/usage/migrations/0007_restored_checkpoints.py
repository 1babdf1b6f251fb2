"""A checkpoint that was brought back counts from then on: what it took before is noted already."""

from django.db import migrations

_BODY = """
CREATE OR REPLACE FUNCTION usage_note_ended_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_endedcheckpoint
        (team_id, session_id, base_model, path, size_bytes, created_at, ended_at)
    SELECT OLD.team_id, r.session_id, b.name,
           'tinker://' || OLD.run_id || '/' || OLD.segment || '/' || OLD.name,
           OLD.size_bytes, {since}, greatest({since}, least(OLD.expires_at, now()))
    FROM runs_trainingrun r JOIN catalog_basemodel b ON b.id = r.base_model_id
    WHERE r.id = OLD.run_id;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("checkpoints", "0005_undo"),
        ("usage", "0006_fill_day_totals"),
    ]

    operations = [
        migrations.RunSQL(
            _BODY.format(since="coalesce(OLD.restored_at, OLD.created_at)"),
            _BODY.format(since="OLD.created_at"),
        ),
    ]

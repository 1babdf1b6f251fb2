"""PostgreSQL itself refuses to change or delete entries of the audit log."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [
        migrations.RunSQL(
            """
            CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
            CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_entry
                FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
            """,
            """
            DROP TRIGGER audit_append_only ON audit_entry;
            DROP FUNCTION audit_refuse_change();
            """,
        )
    ]

"""PostgreSQL itself refuses to change or delete entries of the ledger."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial")]
    operations = [
        migrations.RunSQL(
            """
            CREATE FUNCTION usage_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
            CREATE TRIGGER usage_append_only BEFORE UPDATE OR DELETE ON usage_entry
                FOR EACH ROW EXECUTE FUNCTION usage_refuse_change();
            """,
            """
            DROP TRIGGER usage_append_only ON usage_entry;
            DROP FUNCTION usage_refuse_change();
            """,
        )
    ]

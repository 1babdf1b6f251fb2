"""PostgreSQL itself announces that a key may do less now, whoever changed or deleted it.

`last_used_at` is written all the time and announces nothing.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [
        migrations.RunSQL(
            """
            CREATE FUNCTION accounts_announce_key() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_notify('tinsmith_keys', OLD.id::text); RETURN NULL; END $$;
            CREATE TRIGGER accounts_key_changed
                AFTER DELETE OR UPDATE OF revoked_at, expires_at, scopes, team_id ON accounts_apikey
                FOR EACH ROW EXECUTE FUNCTION accounts_announce_key();
            """,
            """
            DROP TRIGGER accounts_key_changed ON accounts_apikey;
            DROP FUNCTION accounts_announce_key();
            """,
        )
    ]

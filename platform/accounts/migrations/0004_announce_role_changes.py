"""PostgreSQL announces that a key may do less, or more, also when its role or its person's changes."""

from django.db import migrations

_COLUMNS = "revoked_at, expires_at, scopes, team_id"
_KEY_CHANGED = """
DROP TRIGGER accounts_key_changed ON accounts_apikey;
CREATE TRIGGER accounts_key_changed AFTER DELETE OR UPDATE OF {columns} ON accounts_apikey
    FOR EACH ROW EXECUTE FUNCTION accounts_announce_key();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_roles")]
    operations = [
        migrations.RunSQL(
            _KEY_CHANGED.format(columns=f"{_COLUMNS}, role, user_id")
            + """
            CREATE FUNCTION accounts_announce_member() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('tinsmith_keys', k.id::text) FROM accounts_apikey k
                WHERE k.user_id = OLD.user_id AND k.team_id = OLD.team_id;
                RETURN NULL;
            END $$;
            CREATE TRIGGER accounts_member_changed
                AFTER DELETE OR UPDATE OF role, user_id, team_id ON accounts_membership
                FOR EACH ROW EXECUTE FUNCTION accounts_announce_member();
            CREATE FUNCTION accounts_announce_user() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('tinsmith_keys', k.id::text) FROM accounts_apikey k
                WHERE k.user_id = OLD.id;
                RETURN NULL;
            END $$;
            CREATE TRIGGER accounts_user_changed AFTER UPDATE OF is_active ON accounts_user
                FOR EACH ROW EXECUTE FUNCTION accounts_announce_user();
            """,
            """
            DROP TRIGGER accounts_user_changed ON accounts_user;
            DROP FUNCTION accounts_announce_user();
            DROP TRIGGER accounts_member_changed ON accounts_membership;
            DROP FUNCTION accounts_announce_member();
            """
            + _KEY_CHANGED.format(columns=_COLUMNS),
        )
    ]

"""Four roles, also for API keys. The keys that are there become members: nothing they did is refused."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

ROLES = ["viewer", "member", "admin", "owner"]
CHOICES = [(role, role.title()) for role in ROLES]


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_announce_key_changes")]
    operations = [
        migrations.RemoveConstraint("membership", "accounts_membership_role"),
        migrations.AlterField(
            "membership", "role", models.CharField(choices=CHOICES, default="member", max_length=10)
        ),
        migrations.AddConstraint(
            "membership",
            models.CheckConstraint(condition=Q(role__in=ROLES), name="accounts_membership_role"),
        ),
        migrations.AddField(
            "apikey",
            "user",
            models.ForeignKey(
                blank=True,
                help_text="Whose key it is: it has their role, whatever that is at the moment.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="api_keys",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            "apikey",
            "role",
            models.CharField(
                choices=CHOICES,
                db_default="member",
                default="member",
                help_text="What it may do in the team. None: it is somebody's, and has their role.",
                max_length=10,
                null=True,
            ),
        ),
        migrations.AddConstraint(
            "apikey",
            models.CheckConstraint(
                condition=Q(user=None, role__in=ROLES, role__isnull=False)
                | Q(user__isnull=False, role=None),
                name="accounts_apikey_one_role",
            ),
        ),
    ]

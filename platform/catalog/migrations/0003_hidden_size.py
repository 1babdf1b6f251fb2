import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0002_prices"),
    ]

    operations = [
        migrations.AddField(
            model_name="basemodel",
            name="hidden_size",
            field=models.PositiveIntegerField(
                blank=True,
                editable=False,
                help_text="The hidden_size of its config.json: clients choose learning rates by it",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
    ]

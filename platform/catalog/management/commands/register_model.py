"""`manage.py register_model NAME SOURCE`: offer a base model."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog.services import register
from catalog.sources import BadSource


class Command(BaseCommand):
    """Enter a base model in the catalog, its limits read from its own configuration."""

    help = "Offer a base model. Workers of its pool load it when they next start."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name, source, pool, description."""
        parser.add_argument("name", help="what users write as base_model")
        parser.add_argument("source", help="a folder, or a hub id such as Qwen/Qwen3-0.6B")
        parser.add_argument("--pool", default="default", help="the workers that hold it")
        parser.add_argument("--description", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        """Register it and say what was read."""
        try:
            model, is_new = register(
                name=options["name"],
                source=options["source"],
                pool=options["pool"],
                description=options["description"],
            )
        except BadSource as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{'Registered' if is_new else 'Already known:'} {model.name} ({model.family}, context "
            f"{model.max_context_length}, LoRA rank up to {model.max_lora_rank}, pool {model.pool})"
        )

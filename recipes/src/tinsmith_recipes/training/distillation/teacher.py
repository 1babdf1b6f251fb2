"""``Teacher``: a model that another learns from, and what it reads that the other does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith import SamplingClient, renderers
from tinsmith_recipes.training.run import Run

Message = Mapping[str, Any]
ADDRESS = "tinker://"


@dataclass(frozen=True)
class Teacher:
    """A model to learn from.

    Attributes:
        name: of a base model, or the ``tinker://`` address of a sampler checkpoint.
        sampler: what asks it.
        renderer: how its chats are written.
        tokenizer: its tokenizer, of transformers.
        prompt: messages that it reads in front of every chat; the student never does.
    """

    name: str
    sampler: SamplingClient
    renderer: renderers.Renderer
    tokenizer: Any
    prompt: tuple[Message, ...] = ()

    def chat(self, messages: Sequence[Message]) -> list[Message]:
        """What it reads of a chat: its own prompt, then the chat."""
        return [*self.prompt, *messages]


async def open_teacher(run: Run, name: str, *, prompt: Sequence[Message] = ()) -> Teacher:
    """A teacher by its name.

    Args:
        run: the student's.
        name: a base model, or ``tinker://<run>/sampler_weights/<name>``.
        prompt: messages that it reads in front of every chat.

    Raises:
        NotFoundError, BadRequestError: there is no such model.
    """
    is_checkpoint = name.startswith(ADDRESS)
    sampler = await run.service.create_sampling_client_async(
        model_path=name if is_checkpoint else None, base_model=None if is_checkpoint else name
    )
    base_model = await sampler.get_base_model_async()
    if base_model == run.recipe.base_model:
        return Teacher(name, sampler, run.renderer, run.tokenizer, tuple(prompt))
    tokenizer = sampler.get_tokenizer()
    renderer = renderers.for_model(base_model, tokenizer)
    return Teacher(name, sampler, renderer, tokenizer, tuple(prompt))


def check_same_tokens(run: Run, teacher: Teacher) -> None:
    """Make sure that teacher and student mean the same by every token.

    Raises:
        ValueError: they do not; names both, and the first token they differ in.
    """
    student, other = run.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    if student == other:
        return
    names = {number: text for text, number in student.items()}
    theirs = {number: text for text, number in other.items()}
    differing = next(
        number for number in sorted(names | theirs) if names.get(number) != theirs.get(number)
    )
    raise ValueError(
        f"{teacher.name} and {run.recipe.base_model} have different tokenizers (token {differing} "
        f"is {theirs.get(differing)!r} there and {names.get(differing)!r} here), so probabilities "
        "of tokens cannot be compared; learn from what the teacher says instead: "
        "distillation.off_policy with soft_targets=0"
    )

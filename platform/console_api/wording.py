"""Tokens as texts, for pages that show what was asked, answered and trained on."""

from __future__ import annotations

from catalog.services import OfferedModel, find_offered
from console_api.base import wait_for
from openai_api import vocabulary
from openai_api.vocabulary import NoTokenizer, Vocabulary
from runs.models import TrainingRun


def words_of(run_id: str) -> Vocabulary | None:
    """What turns the tokens of a run that was found into text; None if the server cannot."""
    base_model = TrainingRun.objects.values_list("base_model__name", flat=True).get(pk=run_id)
    return wait_for(vocabulary_of, base_model=base_model)


def texts_of(tokens: list[int], words: Vocabulary | None) -> list[str]:
    """The text of each token; their numbers where the server has no tokenizer for them."""
    return [f"⟨{token}⟩" for token in tokens] if words is None else _pieces(tokens, words)


async def vocabulary_of(base_model: str) -> Vocabulary | None:
    """What turns the model's tokens into text; None if the server cannot."""
    model: OfferedModel | None = await find_offered(base_model)
    try:
        return await vocabulary.of_model(model) if model is not None else None
    except NoTokenizer:
        return None


def _pieces(tokens: list[int], words: Vocabulary) -> list[str]:
    """The text of each token; a character that several share stands with the last of them."""
    pieces, waiting = [], b""
    for token in tokens:
        waiting += words.bytes_of(token)
        try:
            pieces.append(waiting.decode())
            waiting = b""
        except UnicodeDecodeError as error:
            # more bytes may complete it, but not bytes that are wrong already
            if error.reason != "unexpected end of data" or len(waiting) > 64:
                pieces.append(waiting.decode(errors="replace"))
                waiting = b""
            else:
                pieces.append("")
    if waiting and pieces:
        pieces[-1] += waiting.decode(errors="replace")
    return pieces

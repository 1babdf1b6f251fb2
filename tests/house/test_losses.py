"""The losses as they are declared, as the SDK types them, and as their page tells of them."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from tests.conftest import REPOSITORY
from tinsmith import types
from tinsmith.losses import LOSSES, Loss

PAGE = (REPOSITORY / "docs" / "losses.md").read_text()
NAME = re.compile(r"`(\w+)`")


def cells(loss: Loss) -> list[str]:
    """The loss's row of the page's table."""
    (row,) = re.findall(rf"^\| `{loss.name}` \|.*\|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_sdk_types_every_loss() -> None:
    assert set(get_args(types.LossFnType)) == {*LOSSES, "custom"}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_the_page_tells_what_is_declared(loss: Loss) -> None:
    _, needs, may_have, settings, _ = cells(loss)
    assert ("target_tokens", *NAME.findall(needs)) == loss.required
    assert tuple(NAME.findall(may_have)) == loss.optional
    told = re.findall(r"`(\w+)` \(([\d.]+)[;)]", settings)
    assert {name: float(default) for name, default in told} == loss.defaults
    assert (
        re.findall(r"`(\w+)` \(the base model\)", settings)
        == [loss.reference][: bool(loss.reference)]
    )


def test_the_page_lists_no_other_losses() -> None:
    table = PAGE[PAGE.index("| loss |") : PAGE.index("What a loss needs")]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(LOSSES)

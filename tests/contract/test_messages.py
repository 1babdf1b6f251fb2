"""The table of typical mistakes (tests/sdk/messages.py) against a whole platform."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tinsmith
from tests.conftest import LiveStack
from tests.contract.conftest import BASE_MODEL
from tests.sdk.messages import DATUM, MISTAKES, Mistake, People


@pytest.fixture(scope="module")
def people(live_stack: LiveStack) -> Iterator[People]:
    """What somebody who makes a mistake has at hand."""
    with tinsmith.ServiceClient(base_url=live_stack.url, api_key=live_stack.api_key) as service:
        training = service.create_lora_training_client(BASE_MODEL, rank=4)
        sampler = service.create_sampling_client(base_model=BASE_MODEL)
        yield People(live_stack.url, BASE_MODEL, service, training, sampler)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda row: row.name)
def test_a_mistake_is_told_in_the_users_words(mistake: Mistake, people: People) -> None:
    mistake.check(people)


def test_the_run_is_usable_after_all_of_them(people: People) -> None:
    passed = people.training.forward_backward([DATUM], "cross_entropy")
    people.training.optim_step().result(60)
    assert passed.result(60).loss > 0


def test_there_are_at_least_twenty_five() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 25


def test_no_answer_shows_a_folder_of_the_server(people: People) -> None:
    about = people.training.get_info()
    assert about.model_data.tokenizer_id == BASE_MODEL

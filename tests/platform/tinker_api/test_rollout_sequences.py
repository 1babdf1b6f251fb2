"""Rollouts that name what was sampled in them: the tokens are kept with the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from asgiref.sync import sync_to_async

from operations import recordings
from operations.models import Recording
from operations.recordings import Recorded
from runs import sequences
from runs.models import Rollout, Sequence, TrainingRun
from tests.platform.tinker_api.conftest import Api
from tests.support.hand import Hand

Sample = Callable[..., list[str]]


@pytest.fixture
def sample(hand: Hand) -> Sample:
    """Has recorded what a sampler of a session drew; the ids."""

    def draw(session: str, *drawn: list[int], seq: int = 0) -> list[str]:
        made = [
            Recorded(np.array(tokens, np.int32), -np.arange(len(tokens), dtype=np.float32) / 4)
            for tokens in drawn
        ]
        request = f"{session}:sample:0:{seq}"
        recordings.record(hand.connection, request_id=request, sequences=made)
        return [f"{request}:{place}" for place in range(len(drawn))]

    return draw


async def logged(api: Api, run: str, *rollouts: dict[str, Any]) -> Any:
    given = [{"step": 0} | rollout for rollout in rollouts]
    return await api.call(f"runs/{run}/rollouts", rollouts=given)


async def shown(api: Api, run: str) -> list[dict[str, Any]]:
    rollouts: list[dict[str, Any]] = (await api.get(f"runs/{run}/rollouts")).json()["rollouts"]
    return rollouts


async def test_tokens_are_read_back_as_long_as_the_run_is_there(
    api: Api, sample: Sample, hand: Hand
) -> None:
    session = await api.session()
    run = await api.run(session)
    first, second = sample(session, [5, 6, 7], [8])
    (later,) = sample(session, [], seq=1)
    given = [
        {
            "group": 3,
            "sequences": [first, later],
            "reward": 1,
            "components": {"format": 0.5, "length": "nan"},
            "tags": ["sums", "ü"],
        },
        {"group": 4, "sequences": [second]},
        {"group": 5, "completion": "2"},
    ]
    assert (await logged(api, run, *given)).json() == {"recorded": 3}
    # the log has forgotten them; what is sent again is kept all the same
    await Recording.objects.all().adelete()
    assert (await logged(api, run, *given)).json() == {"recorded": 3}
    several, one, none = await shown(api, run)
    assert several["sequences"] == [
        {"id": first, "tokens": [5, 6, 7], "logprobs": [0.0, -0.25, -0.5]},
        {"id": later, "tokens": [], "logprobs": []},
    ]
    assert (several["components"], several["tags"]) == (given[0]["components"], ["sums", "ü"])
    assert [found["tokens"] for found in one["sequences"]] == [[8]]
    assert (none["sequences"], none["components"], none["tags"]) == ([], {}, [])

    found = await TrainingRun.objects.aget(id=run)
    await sync_to_async(found.delete)()
    assert not await Sequence.objects.aexists()
    assert not await Rollout.objects.aexists()


async def test_a_run_in_a_later_session_logs_what_the_team_has_sampled(
    api: Api, sample: Sample
) -> None:
    (name,) = sample(await api.session(), [5])
    run = await api.run(await api.session())
    assert (await logged(api, run, {"sequences": [name]})).status_code == 200
    assert (await shown(api, run))[0]["sequences"][0]["tokens"] == [5]


@pytest.mark.parametrize("whose", ["another team's", "nobody's", "with a NUL"])
async def test_what_is_not_the_teams_is_unknown_and_costs_no_other_rollout(
    api: Api, other_api: Api, sample: Sample, whose: str
) -> None:
    session = await api.session()
    run = await api.run(session)
    (own,) = sample(session, [5])
    (theirs,) = sample(await other_api.session(), [6])
    name = {"another team's": theirs, "nobody's": f"{own}0", "with a NUL": f"{own}\0"}[whose]
    given = [{"sequences": [own]}, {"index": 1, "sequences": [own, name]}]
    answer = (await logged(api, run, *given)).json()
    assert (answer["recorded"], answer["unknown"]) == (2, [1])
    assert "1 of the rows name sequences of which nothing is recorded" in answer["detail"]
    good, bad = await shown(api, run)
    assert [found["tokens"] for found in good["sequences"]] == [[5]]
    assert [found["tokens"] for found in bad["sequences"]] == [[5], None]
    assert [kept.name async for kept in Sequence.objects.all()] == [own]


async def test_another_team_logs_nothing_into_a_run(
    api: Api, other_api: Api, sample: Sample
) -> None:
    run = await api.run(await api.session())
    (theirs,) = sample(await other_api.session(), [6])
    assert (await logged(other_api, run, {"sequences": [theirs]})).status_code == 404
    assert not await Sequence.objects.aexists()


async def test_of_a_run_that_has_many_the_newest_are_kept(
    api: Api, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "KEPT_BYTES_OF_RUN", 48)  # six tokens with their logprobs
    session = await api.session()
    run, other = await api.run(session), await api.run(session, 1)
    names = [sample(session, [n, n], seq=n)[0] for n in range(5)]
    await logged(api, other, {"sequences": names[:1]})
    for step, name in enumerate(names):
        await logged(api, run, {"step": step, "sequences": [name], "reward": step})
    kept = [rollout["sequences"][0]["tokens"] for rollout in await shown(api, run)]
    assert kept == [None, None, [2, 2], [3, 3], [4, 4]]
    assert (await shown(api, other))[0]["sequences"][0]["tokens"] == [0, 0]


@pytest.mark.parametrize(
    ("rollout", "named"),
    [
        ({"sequences": [""]}, "sequences"),
        ({"sequences": ["x"] * 1001}, "1000"),
        ({"components": {"format": "good"}}, "components"),
        ({"components": {str(n): 1 for n in range(101)}}, "100"),
        ({"tags": ["x" * 201]}, "200"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, rollout: dict[str, Any], named: str) -> None:
    run = await api.run(await api.session())
    answer = await logged(api, run, rollout)
    assert (answer.status_code, named in answer.json()["detail"]) == (400, True), answer.text
    assert not await Rollout.objects.aexists()

"""Requests are read as old and new clients send them; unknown names are refused with advice."""

from __future__ import annotations

import pytest

from core.errors import BadRequest
from core.json_bodies import decode
from operations import bodies
from tinker_api.views import sessions


def test_nulls_and_omissions_mean_defaults() -> None:
    body = b'{"tags": null, "user_metadata": null, "sdk_version": null}'
    assert decode(body, sessions.CreateSession) == sessions.CreateSession()


def test_an_empty_body_is_an_empty_object() -> None:
    assert decode(b"", sessions.SdkVersion).sdk_version is None


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadRequest) as refusal:
        decode(b'{"tag": []}', sessions.CreateSession)
    assert "unknown field `tag`" in refusal.value.detail
    assert "allowed: tags, user_metadata, sdk_version" in refusal.value.detail


def test_an_unknown_name_in_a_part_names_the_part() -> None:
    body = b'{"session_id":"s","model_seq_id":0,"base_model":"m","lora_config":{"alpha":1}}'
    with pytest.raises(BadRequest) as refusal:
        decode(body, bodies.CreateModel)
    assert refusal.value.detail == (
        "unknown field `alpha` in lora_config; "
        "allowed: rank, seed, train_unembed, train_mlp, train_attn"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"session_id": 1}', "session_id must be text, not a whole number"),
        (b"{}", "missing required field `session_id`"),
        (b"[]", "the body must be an object, not a list"),
        (b'{"session_id": ""}', "length >= 1"),
        (b'{"session_id"', "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"session_id": "a\xff"}', "not valid JSON"),
        (b'{"session_id": "a\\u0000"}', "NUL"),
        (b'{"session_id": "\\ud800"}', "not valid JSON"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        decode(body, sessions.SessionHeartbeat)
    assert message in refusal.value.detail


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadRequest, match="not valid JSON"):
        decode(b'{"user_metadata":{"x":' + b"[" * 100_000, sessions.CreateSession)


def test_numbers_fit_the_database() -> None:
    sample = b'{"sampling_session_id":"s","seq_id":%d,"num_samples":2}'
    assert decode(sample % 561751228000000000, bodies.SampleIds).seq_id > 2**53
    with pytest.raises(BadRequest):
        decode(sample % 2**63, bodies.SampleIds)

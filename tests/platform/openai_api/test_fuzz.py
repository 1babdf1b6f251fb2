"""Bodies of all kinds: whatever comes is answered or refused, never a mistake of ours."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.models import BaseModel
from tests.platform.openai_api.conftest import BASE_MODEL, END, Worker, answer
from tests.platform.openai_api.tokenizers_of_all_kinds import THINKING, with_template

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["auto", "text", "user", "\ud800", "\x00", BASE_MODEL, "tinker://a/b/c"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "function", "x"]), inner)
    ),
    max_leaves=6,
)
GOOD = {
    "chat/completions": {
        "model": BASE_MODEL,
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "content": "a", "tool_call_id": "b"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "chat_template_kwargs": {"enable_thinking": True},
        "max_tokens": 3,
        "logprobs": True,
        "stop": ["a"],
    },
    "completions": {"model": BASE_MODEL, "prompt": "Hi", "max_tokens": 3, "logprobs": 1},
}
TEMPLATE = THINKING + "{{ enable_thinking }}"
NAMES = ["model", "messages", "prompt", "n", "stop", "seed", "stream", "tools", "temperature"]
NAMES += ["chat_template_kwargs", "stream_options", "tool_choice", "logprobs", "user", "echo"]


def places(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The addresses of everything inside a value."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    )
    return [
        place for key in keys for place in [(*so_far, key), *places(value[key], (*so_far, key))]
    ]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes]:
    """A route, and a good body of which some parts were exchanged for others."""
    route = draw(st.sampled_from(sorted(GOOD)))
    body = json.loads(json.dumps(GOOD[route]))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([*places(body), *[(name,) for name in NAMES]]))
        inside = body
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = draw(VALUES)
    return route, json.dumps(body).encode()


@pytest.mark.timeout(300)
async def test_exchanged_parts(
    api: httpx.AsyncClient,
    worker: Worker,
    base_model: BaseModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await BaseModel.objects.aupdate(tokenizer_id=str(with_template(TEMPLATE)))
    worker.reply = lambda body: answer(*[[72, END]] * body["num_samples"])
    good = await api.post("chat/completions", json=GOOD["chat/completions"])
    assert good.status_code == 200, good.text
    for route, body in examples():
        response = await api.post(route, content=body)
        assert response.status_code in (200, 400, 404), (body, response.text)
        if response.status_code != 200:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def examples() -> list[tuple[str, bytes]]:
    """Requests to try; made beforehand, because each is answered on the test's event loop."""
    found: list[tuple[str, bytes]] = []

    @settings(max_examples=300, deadline=None, database=None)
    @given(requests())
    def collect(request: tuple[str, bytes]) -> None:
        found.append(request)

    collect()
    return found

"""What a client hears that asks for a result which is no longer kept."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from runs import lifecycle, retention
from runs.models import Session
from tests.platform.tinker_api.conftest import Api
from tests.platform.tinker_api.test_reports import window
from tests.support.hand import Hand
from usage.models import Kind
from usage.services import Used


async def test_late_questions_get_an_answer_by_name(
    api: Api, hand: Hand, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR, settings.RESULTS_KEPT_DAYS = tmp_path, 3
    session = await api.session()
    run, sampler = await api.run(session), await api.sampler(session, 1)
    await api.call("optim_step", model_id=run, seq_id=1)
    await api.call("asample", sampling_session_id=sampler, seq_id=0)
    for operation in hand.claim():
        hand.finish(
            operation,
            content_type="application/json",
            body=b'{"metrics":{}}',
            used=[Used(Kind.TRAIN, 5)],
        )
    questions = [f"{run}:1", f"{sampler}:0"]
    for request_id in questions:
        assert (await api.call("retrieve_future", request_id=request_id)).json() == {"metrics": {}}

    await api.call(f"sessions/{session}/finish", reason={"type": "success"})
    lifecycle.release_ended(hand.connection, worker_id=hand.worker_id)
    await Session.objects.filter(id=session).aupdate(ended_at=timezone.now() - timedelta(days=4))
    usage = (await api.get("billing/usage/events", params=window())).json()
    assert retention.forget_results(hand.connection) == 3

    for request_id in questions:
        for metadata in (True, False):
            late = await api.call(
                "retrieve_future", request_id=request_id, allow_metadata_only=metadata
            )
            assert late.status_code == 200
            assert late.json() == {
                "error": f"the result of {request_id} is no longer kept: results are deleted when "
                "their client says that it has them, or 3 days after their session has ended",
                "category": "user",
            }
    poll = {"target": {"sampling_session_id": sampler}, "prev_cursor": 0, "timeout": 0}
    listed = (await api.call("retrieve_futures", **poll)).json()["completions"]
    assert listed == [{"state": "failed", "request_id": f"{sampler}:0"}]
    # what was used, and the trace, tell of it all the same
    assert (await api.get("billing/usage/events", params=window())).json() == usage
    link = (await api.get(f"sessions/{session}/trace_export")).json()["url"]
    events = json.loads((await api.get(link)).content)["traceEvents"]
    assert {"create_run", "optim_step", "sample"} <= {event["name"] for event in events}

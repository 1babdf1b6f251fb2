"""Where an operator looks: the admin's list of workers says why a model is not served."""

from __future__ import annotations

import os

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from operations import workers
from tests.support.log import Log


def test_the_list_of_workers_says_why_a_model_is_not_served(log: Log) -> None:
    worker_id = log.worker()
    reason = "OSError: no file named model.safetensors"
    workers.register(
        log.conn,
        worker_id=worker_id,
        pool=log.pool,
        host="here",
        pid=os.getpid(),
        models=["acme/tiny"],
        report={"acme/big": {"not_loaded": reason, "tries": 3}},
    )
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    address = reverse("admin:operations_worker_changelist")
    page = client.get(address).content.decode()
    assert reason in page
    assert "acme/tiny" in page
    for action in ("add", "change", "delete"):
        arguments = [] if action == "add" else [str(worker_id)]
        name = f"admin:operations_worker_{action}"
        assert client.post(reverse(name, args=arguments), {"pool": "x"}).status_code == 403
    assert workers.Worker.objects.get().pool == log.pool


@pytest.mark.parametrize("served", [True, False])
def test_a_worker_counts_once_it_serves_a_model(log: Log, served: bool) -> None:
    models = [log.base_model.name] if served else []
    workers.register(
        log.conn, worker_id=log.worker(), pool="other", host="here", pid=1, models=models
    )
    workers.Worker.objects.update(models_served=models)
    assert workers.any_alive(log.pool) == served

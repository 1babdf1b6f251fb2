"""What is said when the disk is full, whoever meets it first."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from safetensors import SafetensorError

from core import disk
from core.endpoint import as_api_error


@pytest.fixture
def told(data_folder: Path) -> str:
    """The message."""
    return f"the disk of {data_folder} is full: make room and try again"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """A disk with less room than is asked for."""
    monkeypatch.setattr(disk, "LEAST_BYTES", 2**63)
    monkeypatch.setattr(disk, "_noticed", False)


def out_of_room() -> Exception:
    """What writing raises then."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/secret")


def wrapped() -> Exception:
    """The same, as the cause of something else."""
    try:
        raise RuntimeError("could not save") from out_of_room()
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        out_of_room(),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        wrapped(),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_every_librarys_words_become_ours(told: str, error: Exception) -> None:
    assert disk.explain(error) == told


def test_the_databases_disk_may_be_another(told: str) -> None:
    error = psycopg.errors.DiskFull("could not extend file")
    assert disk.explain(error) == "the database's disk is full: make room and try again"


def test_other_faults_are_not_the_disks(told: str) -> None:
    for error in (OSError(errno.EIO, "I/O error"), ValueError("x"), psycopg.OperationalError("x")):
        assert disk.explain(error) is None


def test_a_request_that_meets_it_is_told(full: None, told: str) -> None:
    for error in (
        out_of_room(),
        psycopg.errors.DiskFull("could not extend file"),
        psycopg.OperationalError("the server closed the connection"),
    ):
        refusal = as_api_error(error, "POST /x")
        assert (refusal.status, refusal.detail) == (503, told)
        assert refusal.headers["Retry-After"]


async def test_health_checks_fail_and_recover(
    application: Any, full: None, told: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=application), base_url="http://anything"
    ) as client:
        for path in ("/healthz", "/api/v1/healthz"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["detail"]) == (503, told)
        # said once, and once that it is over
        assert [record.getMessage() for record in caplog.records] == [told]
        monkeypatch.setattr(disk, "LEAST_BYTES", 0)
        for path in ("/healthz", "/api/v1/healthz"):
            assert (await client.get(path)).json() == {"status": "ok"}
        assert "has room again" in caplog.records[-1].getMessage()
        assert (await client.head("/healthz")).status_code == 200
        assert (await client.post("/healthz")).status_code == 405

"""Data from before a release, brought up to date by its migrations."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.conftest import REPOSITORY, Services

FILL = """
INSERT INTO accounts_team (id, name, slug, created_at) VALUES (1, 'Smiths', 'smiths', now());
INSERT INTO catalog_basemodel (id, name, source, tokenizer_id, family, max_context_length,
                               max_lora_rank, pool, enabled, trainable, sampleable,
                               description, created_at)
VALUES (1, 'tiny', '/nowhere', '/nowhere', 'qwen3', 128, 16, 'small', true, true, true, '', now());
INSERT INTO runs_session (id, team_id, ended_at, end_reason, released_at) VALUES
    ('open', 1, NULL, NULL, NULL), ('ended', 1, '2026-01-02', 'success', '2026-01-03');
INSERT INTO runs_trainingrun (id, session_id, team_id, number, base_model_id, rank, seed,
                              claimed_seq, applied_seq, snapshot_seq, snapshot_key) VALUES
    ('open:train:0', 'open', 1, 0, 1, 8, 1, 7, 5, 3, 'snapshots/x'),
    ('ended:train:0', 'ended', 1, 0, 1, 8, 1, 2, 2, -1, NULL);
INSERT INTO runs_sampler (id, session_id, team_id, number, base_model_id, completions, joined)
VALUES ('open:sample:1', 'open', 1, 1, 1, 12, 2);
INSERT INTO operations_operation (target, seq, team_id, pool, kind, state, cost) VALUES
    ('open:train:0', 8, 1, 'small', 'optim_step', 'queued', 2),
    ('ended:train:0', 3, 1, 'small', 'optim_step', 'queued', 2);
"""


@pytest.fixture
def database_url(services: Services) -> Iterator[str]:
    """An empty database of this test's own."""
    name = "tinsmith_upgrade"
    with psycopg.connect(services.database_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        address = urlsplit(services.database_url)
        yield urlunsplit(address._replace(path=f"/{name}"))
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def migrate(database_url: str, *to: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url, "TINSMITH_NO_VENV": "1"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, str(REPOSITORY / "manage.py"), "migrate", "-v0", *to]
    subprocess.run(command, env=environment, check=True, timeout=120)


def test_runs_and_samplers_get_their_lanes(database_url: str) -> None:
    migrate(database_url, "runs", "0008")
    migrate(database_url, "operations", "0006")
    migrate(database_url, "catalog")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(FILL)
        migrate(database_url)
        lanes: dict[str, Any] = {
            target: rest
            for target, *rest in conn.execute(
                """
                SELECT target, ordered, base_model_id, claimed_seq, applied_seq, snapshot_seq,
                       snapshot_key, completions, joined, closed_at IS NOT NULL
                FROM operations_lane
                """
            )
        }
        assert lanes == {
            "open:train:0": [True, 1, 7, 5, 3, "snapshots/x", 0, 0, False],
            "ended:train:0": [True, 1, 2, 2, -1, None, 0, 0, True],
            "open:sample:1": [False, 1, -1, -1, -1, None, 12, 2, False],
        }
        # what an old race had stored behind its session's release waits no longer
        states = conn.execute("SELECT target, state, error_category FROM operations_operation")
        assert {tuple(row) for row in states} == {
            ("open:train:0", "queued", None),
            ("ended:train:0", "failed", "user"),
        }


KEYS = """
INSERT INTO accounts_user (id, username, password, is_superuser, is_staff, is_active, first_name,
                           last_name, email, date_joined)
VALUES (1, 'ada', '', false, false, true, '', '', '', now()),
       (2, 'bob', '', false, false, true, '', '', '', now());
INSERT INTO accounts_team (id, name, slug, created_at) VALUES (1, 'Smiths', 'smiths', now());
INSERT INTO accounts_membership (team_id, user_id, role, created_at)
VALUES (1, 1, 'owner', now()), (1, 2, 'member', now());
"""
KEY = """
INSERT INTO accounts_apikey (team_id, name, prefix, last_four, sha256, scopes, created_at)
VALUES (1, %s, 'tml-xxxx', 'yyyy', %s, '{train,sample}', now())
"""


def test_keys_become_members_and_people_keep_their_roles(database_url: str) -> None:
    migrate(database_url, "accounts", "0002")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(KEYS)
        conn.execute(KEY, ("from before", "a" * 64))
        migrate(database_url, "accounts")
        # as a web process of the release before makes it meanwhile
        conn.execute(KEY, ("from beside", "b" * 64))
        keys = conn.execute("SELECT name, role, user_id FROM accounts_apikey ORDER BY id")
        assert list(keys) == [("from before", "member", None), ("from beside", "member", None)]
        people = conn.execute("SELECT user_id, role FROM accounts_membership ORDER BY user_id")
        assert list(people) == [(1, "owner"), (2, "member")]
        # and back again, while nobody has a role that there was not
        migrate(database_url, "accounts", "0002")

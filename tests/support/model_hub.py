"""A model hub on this machine: the Hugging Face hub's HTTP API as far as an upload needs it.

Real clients talk to it when HF_ENDPOINT says so. It is as strict as the hub: a request without the
token, for a repository or branch that is not there, or with bytes that are not those announced, is
refused. Small files come in the commit itself, safetensors by LFS.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

COMMITS_CODE = "c0de" * 10  # what stands where a commit's hash belongs


@dataclass
class Repository:
    """A repository: the files on each of its branches, and what its commits were called."""

    private: bool
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[str] = field(default_factory=list)


@dataclass
class ModelHub:
    """What the hub holds. `url` is where it answers."""

    token: str
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large_files: dict[str, bytes] = field(default_factory=dict)
    verified: set[str] = field(default_factory=set)

    def create(self, body: dict[str, Any]) -> tuple[int, Any]:
        """POST /api/repos/create."""
        name = f"{body['organization']}/{body['name']}"
        answer = {"url": f"{self.url}/{name}"}
        if name in self.repositories:
            return 409, answer | {"error": "You already created this model repo"}
        self.repositories[name] = Repository(private=body.get("visibility") == "private")
        return 200, answer

    def branch(self, name: str, branch: str) -> tuple[int, Any]:
        """POST /api/models/<repository>/branch/<branch>."""
        branches = self.repositories[name].branches
        if branch in branches:
            return 409, {"error": "Reference already exists"}
        branches[branch] = dict(branches["main"])
        return 200, {}

    def validate_card(self, body: dict[str, Any]) -> tuple[int, Any]:
        """POST /api/validate-yaml: a model card begins with YAML."""
        beginning = body["content"].split("---\n")
        if len(beginning) < 3 or not isinstance(yaml.safe_load(beginning[1]), dict):
            return 400, {"errors": [{"message": "no metadata"}], "warnings": []}
        return 200, {"errors": [], "warnings": []}

    def preupload(self, name: str, revision: str, body: dict[str, Any]) -> tuple[int, Any]:
        """POST /api/models/<repository>/preupload/<revision>: how each file is to come."""
        if revision not in self.repositories[name].branches:
            return 404, {"error": f"Invalid rev id: {revision}"}
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in body["files"]
        ]
        return 200, {"files": modes}

    def lfs_batch(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        """POST /<repository>.git/info/lfs/objects/batch: where to put each large file."""
        assert name in self.repositories
        assert body["operation"] == "upload"
        verify = {"href": f"{self.url}/verify", "header": {}}
        return 200, {
            "transfer": "basic",
            "objects": [
                {
                    **file,
                    "actions": {
                        "upload": {"href": f"{self.url}/large/{file['oid']}", "header": {}},
                        "verify": verify,
                    },
                }
                for file in body["objects"]
            ],
        }

    def put(self, oid: str, content: bytes) -> tuple[int, Any]:
        """PUT of a large file to the address that the batch gave."""
        if hashlib.sha256(content).hexdigest() != oid:
            return 400, {"error": "the bytes are not those announced"}
        self.large_files[oid] = content
        return 200, {}

    def verify(self, body: dict[str, Any]) -> tuple[int, Any]:
        """POST of what the client believes it has put."""
        if len(self.large_files[body["oid"]]) != body["size"]:
            return 400, {"error": "the size is not that announced"}
        self.verified.add(body["oid"])
        return 200, {}

    def commit(self, name: str, revision: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        """POST /api/models/<repository>/commit/<revision>."""
        repository = self.repositories[name]
        files = repository.branches[revision]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repository.commits.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"], validate=True)
            elif line["key"] == "lfsFile" and value["oid"] in self.verified:
                files[value["path"]] = self.large_files[value["oid"]]
            else:
                return 400, {"error": f"cannot commit {line['key']} {value}"}
        return 200, {
            "commitUrl": f"{self.url}/{name}/commit/{COMMITS_CODE}",
            "commitOid": COMMITS_CODE,
        }


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, lets the hub do it, writes the answer as JSON."""

    protocol_version = "HTTP/1.1"
    hub: ModelHub

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._reply(401, {"error": "Invalid username or password."})
            return
        try:
            self._reply(*self._post(urlsplit(self.path).path.strip("/").split("/"), body))
        except KeyError as missing:
            self._reply(404, {"error": f"Repository not found: {missing}"})

    def do_PUT(self) -> None:
        # like the hub's object storage: the address alone opens it
        self._reply(*self.hub.put(self.path.rpartition("/")[2], self._body()))

    def _post(self, parts: list[str], body: bytes) -> tuple[int, Any]:
        match parts:
            case ["api", "repos", "create"]:
                return self.hub.create(json.loads(body))
            case ["api", "validate-yaml"]:
                return self.hub.validate_card(json.loads(body))
            case ["api", "models", owner, name, "branch", branch]:
                return self.hub.branch(f"{owner}/{name}", unquote(branch))
            case ["api", "models", owner, name, "preupload", revision]:
                return self.hub.preupload(f"{owner}/{name}", unquote(revision), json.loads(body))
            case ["api", "models", owner, name, "commit", revision]:
                lines = [json.loads(line) for line in body.splitlines()]
                return self.hub.commit(f"{owner}/{name}", unquote(revision), lines)
            case [owner, name, "info", "lfs", "objects", "batch"] if name.endswith(".git"):
                return self.hub.lfs_batch(f"{owner}/{name[:-4]}", json.loads(body))
            case ["verify"]:
                return self.hub.verify(json.loads(body))
        return 404, {"error": f"this hub has no {'/'.join(parts)}"}

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _reply(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output for the tests."""


@contextmanager
def running(token: str) -> Iterator[ModelHub]:
    """A hub that answers to the token until the block ends."""
    hub = ModelHub(token)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

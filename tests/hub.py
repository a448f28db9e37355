"""A small server on loopback that speaks as much of the model hub as a download needs: info, tree, files, gates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit


@dataclass(kw_only=True)
class Repository:
    """One model repository: a folder, its commit, and the token that opens it (None: open to all)."""

    folder: Path
    commit: str = "c170c708" + "0" * 32
    branch: str = "main"
    token: str | None = None

    def paths(self) -> list[str]:
        """Every file's path inside the repository."""
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())

    def knows(self, revision: str) -> bool:
        """Whether this is a revision of ours."""
        return revision == self.branch or (len(revision) >= 7 and self.commit.startswith(revision))


@dataclass(kw_only=True)
class Hub:
    """The repositories by name, and what was asked of them."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    datasets: dict[str, Repository] = field(default_factory=dict)
    elsewhere: str = ""
    """Where the contents of data files are fetched from instead, as a large file's are: another host."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def fetched(self) -> set[str]:
        """The files whose contents were sent."""
        return {
            path.rsplit("/resolve/", 1)[1].split("/", 1)[1]
            for verb, path in self.asked
            if verb == "GET" and "/resolve/" in path
        }


class Desk(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on standard error."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Find the repository, check the gate, and serve."""
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        self.hub.tokens |= {token} - {""}
        for name, repository in self.hub.repositories.items():
            for start, serve in ((f"/api/models/{name}", self.api), (f"/{name}/resolve/", self.file)):
                if path.startswith(start):
                    serve(name, repository, path.removeprefix(start), token)
                    return
        for name, repository in self.hub.datasets.items():
            for start, serve in ((f"/api/datasets/{name}", self.api), (f"/datasets/{name}/resolve/", self.data)):
                if path.startswith(start):
                    serve(name, repository, path.removeprefix(start), token)
                    return
        self.refuse(401, "RepoNotFound", "Repository Not Found")

    def api(self, name: str, repository: Repository, rest: str, _token: str) -> None:
        """Information about a repository is open even where its files are gated."""
        parts = rest.strip("/").split("/")
        revision = parts[1] if len(parts) > 1 else repository.branch
        if not repository.knows(revision):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif parts[0] == "tree":
            self.send(200, json.dumps([self.listed(repository, path) for path in repository.paths()]).encode())
        else:
            files = [
                {"rfilename": path, "size": (repository.folder / path).stat().st_size} for path in repository.paths()
            ]
            said = {"id": name, "modelId": name, "sha": repository.commit, "siblings": files, "private": False}
            self.send(200, json.dumps({**said, "gated": "manual" if repository.token else False, "tags": []}).encode())

    @staticmethod
    def listed(repository: Repository, path: str) -> dict[str, object]:
        """One file as the tree lists it."""
        data = (repository.folder / path).read_bytes()
        return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def data(self, name: str, repository: Repository, rest: str, token: str) -> None:
        """One file of a data set, which may lie on another host."""
        if self.hub.elsewhere:
            self.send(302, b"", Location=f"{self.hub.elsewhere}{self.path}")
        else:
            self.file(name, repository, rest, token)

    def file(self, name: str, repository: Repository, rest: str, token: str) -> None:
        """One file's contents, to those who may have it."""
        revision, _, path = rest.partition("/")
        if repository.token and token != repository.token:
            said = f"Access to model {name} is restricted."
            self.refuse(403 if token else 401, "GatedRepo", said)
        elif not repository.knows(revision):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif path not in repository.paths():
            self.refuse(404, "EntryNotFound", "Entry not found")
        else:
            data = (repository.folder / path).read_bytes()
            self.send(200, data, ETag=f'"{hashlib.sha256(data).hexdigest()}"', X_Repo_Commit=repository.commit)

    def refuse(self, status: int, code: str, text: str) -> None:
        """An error as the hub words it: the code stands in a header."""
        self.send(status, json.dumps({"error": text}).encode(), X_Error_Code=code, X_Error_Message=text)

    def send(self, status: int, body: bytes, **headers: str) -> None:
        """One whole answer."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "Content-Type": "application/json"}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class QuietServer(ThreadingHTTPServer):
    """A client that saw enough from the status may hang up before the body is sent."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing on standard error."""


@contextmanager
def open_hub(**repositories: Repository) -> Iterator[Hub]:
    """A hub on a free port of loopback; a repository's name may stand as owner__name."""
    hub = Hub(repositories={name.replace("__", "/"): repository for name, repository in repositories.items()})
    server = QuietServer(("127.0.0.1", 0), type("OurDesk", (Desk,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)

"""`launch init`: the file that it writes is one that the job room accepts; nothing is lost or made up on the way."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from jobs import spec
from launcher import init
from launcher.cli import main
from launcher.errors import LaunchError
from launcher.init import Answers

SHA = "c170c708c41dac9275d15a8fff4eca08d52bab71"
ROW = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
NOBODY = {"HF_ENDPOINT": "http://127.0.0.1:9"}
"""A port where nothing listens."""


@contextmanager
def hub(status: int, body: bytes) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A Hub on loopback that always answers the same; its address, and what it was asked with which token."""
    asked: list[tuple[str, str | None]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def said(**changes: str) -> Answers:
    return Answers(**{"name": "my-job", "model": "some/model", "data": "rows.jsonl", "test": "", **changes})


@pytest.mark.parametrize("test", ["", "test.jsonl"])
@pytest.mark.parametrize("revision", ["", SHA])
def test_the_job_room_accepts_what_is_written(tmp_path: Path, test: str, revision: str) -> None:
    (tmp_path / "rows.jsonl").write_text(ROW)
    (tmp_path / "test.jsonl").write_text(ROW)
    (tmp_path / "launch.yaml").write_text(init.text(said(test=test), revision))
    loaded = spec.load(tmp_path, sets=(), model=None, data=None)
    assert (loaded.spec.name, loaded.spec.model) == ("my-job", "some/model")
    assert loaded.spec.revision == (revision or None)
    assert (loaded.spec.data.train, loaded.spec.data.test) == ("rows.jsonl", test or None)


@pytest.mark.parametrize(
    "odd", ["a: b", "x # y", "'", '"', "[1]", "{a: 1}", "no", "1e5", "- a", "é", "*x", "!!python/x"]
)
def test_odd_names_of_files_stay_what_they_are(odd: str) -> None:
    read = YAML(typ="safe").load(init.text(said(data=odd, test=odd), ""))
    assert read["data"]["train"] == read["data"]["test"] == odd


def test_the_revision_of_the_hub_is_pinned() -> None:
    with hub(200, json.dumps({"sha": SHA}).encode()) as (address, asked):
        assert init.pinned("some/model", {"HF_ENDPOINT": address, "HF_TOKEN": "t"}) == (SHA, "")
    assert asked == [("/api/models/some/model", "Bearer t")]


@pytest.mark.parametrize(
    ("status", "body", "part"),
    [
        (404, b"", "wrong name"), (401, b"", "HF_TOKEN has no access"), (500, b"", "no revision"),
        (200, b"no json", "no revision"), (200, b'{"sha": "../../x"}', "no revision"), (200, b"[]", "no revision"),
    ],
)  # fmt: skip
def test_a_hub_without_an_answer_leaves_the_model_unpinned_and_says_so(status: int, body: bytes, part: str) -> None:
    with hub(status, body) as (address, _):
        revision, note = init.pinned("some/model", {"HF_ENDPOINT": address})
    assert revision == ""
    assert part in note


def test_without_a_network_the_file_says_that_nothing_is_pinned(tmp_path: Path) -> None:
    written = init.write(said(), tmp_path / "launch.yaml", NOBODY, None)
    assert written.revision == ""
    assert "cannot be reached" in written.notes[0]
    assert "# revision: 0123abc" in written.path.read_text()


def test_nothing_is_written_over_without_a_yes(tmp_path: Path) -> None:
    path = tmp_path / "launch.yaml"
    path.write_text("mine")
    for confirm in (None, lambda question, default: False, lambda question, default: None):
        with pytest.raises(LaunchError, match="is there already"):
            init.write(said(), path, NOBODY, confirm)
    assert path.read_text() == "mine"
    init.write(said(), path, NOBODY, lambda question, default: True)
    assert "my-job" in path.read_text()


@pytest.mark.parametrize(
    "given",
    [{"model": "a b c"}, {"model": "../up/../and/away/x"}, {"name": "Not A Name"}, {"model": "/no/such/folder"}],
)
def test_what_cannot_be_is_refused_at_once(given: dict[str, str | None]) -> None:
    with pytest.raises(LaunchError) as caught:
        init.answers(given, None)
    assert (caught.value.code, int(caught.value.exit_code)) == ("init", 2)


def test_answers_come_from_options_then_from_the_person_then_from_defaults() -> None:
    asked: list[str] = []

    def ask(question: str, default: str) -> str:
        asked.append(question)
        return "theirs.jsonl" if "Training" in question else default

    found = init.answers({"model": "some/Model-7B"}, ask)
    assert (found.model, found.data, found.test, found.name) == ("some/Model-7B", "theirs.jsonl", "", "model-7b")
    assert len(asked) == 3


def test_init_without_a_terminal_writes_what_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "launch.yaml"
    argv = ["init", "--yes", "--model", "some/model", "--data", "rows.jsonl", "--out", str(out), "--json"]
    assert main(argv, environ={**NOBODY, "LAUNCH_HOME": str(tmp_path)}) == 0
    out_text, err = capsys.readouterr()
    assert json.loads(out_text)["file"] == str(out)
    assert "rows.jsonl is not there yet" in err
    assert main(argv, environ={**NOBODY, "LAUNCH_HOME": str(tmp_path)}) == 2

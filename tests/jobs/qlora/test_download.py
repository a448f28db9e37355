"""The base model comes from the bundle or from a hub, at its pinned revision, and never as a pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, Repository, open_hub
from tests.jobs.qlora.workplace import Workplace

MODEL = "some/model"
TOKEN = "opens-the-gate"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A repository with what real ones hold: weights twice, a pickle, a README."""
    folder = tmp_path / "repository"
    folder.mkdir()
    names = "model.safetensors consolidated.safetensors pytorch_model.bin config.json tokenizer.json README.md"
    for name in names.split():
        (folder / name).write_bytes(name.encode() * 10)
    return folder


@pytest.fixture
def hub(model: Path) -> Iterator[Hub]:
    """A hub with an open model and a gated one."""
    with open_hub(some__model=Repository(folder=model), some__gated=Repository(folder=model, token=TOKEN)) as hub:
        yield hub


def place(tmp_path: Path, name: str = MODEL, revision: str | None = None) -> Workplace:
    data = tmp_path / "data"
    data.mkdir()
    settings = {"model": name, "revision": revision}
    return Workplace(run=tmp_path / "run", settings=settings).lay_out(data=data, base=None)


def download(work: Workplace, hub: Hub, *, expect: int = 0, token: str = "") -> str:
    return work.step("download", expect=expect, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_TOKEN=token)


def test_a_pinned_model_comes_without_pickles_and_without_a_second_copy_of_its_weights(
    tmp_path: Path, hub: Hub
) -> None:
    work = place(tmp_path, revision="c170c708")
    download(work, hub)
    noted = json.loads((work.run / "model.json").read_text())
    found = {path.name for path in Path(noted["path"]).iterdir()}
    assert found == {"model.safetensors", "config.json", "tokenizer.json"}
    assert hub.fetched() == found
    assert noted["name"] == MODEL
    assert noted["revision"] == "c170c708" + "0" * 32


def test_a_gated_model_without_a_token_is_one_clear_sentence(tmp_path: Path, hub: Hub) -> None:
    said = download(place(tmp_path, "some/gated"), hub, expect=1)
    assert "some/gated is gated" in said
    assert "no HF_TOKEN was given" in said
    assert "Traceback" not in said


def test_a_gated_model_with_the_wrong_token_does_not_print_the_token(tmp_path: Path, hub: Hub) -> None:
    said = download(place(tmp_path, "some/gated"), hub, expect=1, token="hf_wrong_and_secret")
    assert "some/gated is gated" in said
    assert "hf_wrong_and_secret" not in said


def test_a_gated_model_opens_to_its_token(tmp_path: Path, hub: Hub) -> None:
    work = place(tmp_path, "some/gated")
    download(work, hub, token=TOKEN)
    assert hub.tokens == {TOKEN}
    assert TOKEN not in (work.run / "model.json").read_text()


@pytest.mark.parametrize(
    ("name", "revision", "says"), [("some/none", None, "does not exist"), (MODEL, "abcdef0", "no revision abcdef0")]
)
def test_a_model_or_revision_that_does_not_exist_is_one_clear_sentence(
    tmp_path: Path, hub: Hub, name: str, revision: str | None, says: str
) -> None:
    said = download(place(tmp_path, name, revision), hub, expect=1)
    assert says in said
    assert "Traceback" not in said


def test_a_model_that_holds_only_pickles_is_refused(tmp_path: Path, model: Path, hub: Hub) -> None:
    (model / "model.safetensors").unlink()
    assert "no safetensors weights" in download(place(tmp_path), hub, expect=1)


def test_a_hub_that_does_not_answer_is_one_clear_sentence(tmp_path: Path, hub: Hub) -> None:
    work = place(tmp_path)
    said = work.step("download", expect=1, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert "could not be downloaded" in said
    assert "Traceback" not in said

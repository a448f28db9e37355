"""Where a model's config and tokenizer are read: each answer of the Hub, what is kept of it, and what stands in."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.config_values import WorkloadError
from jobs.hub import Hub, HubError, Kept, Unreachable
from jobs.model_config import TOKENIZER, Model, check_access, find, tokenizer
from tests.hub import Repository, open_hub
from tests.jobs.test_workload import CONFIG, MISTRAL, NOWHERE

HERE = "/nonexistent"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A small model on the Hub."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    return Repository(folder=folder)


def environment(url: str, **more: str) -> dict[str, str]:
    return {"HF_ENDPOINT": url, "HF_HOME": HERE, **more}


def found(environ: dict[str, str], cache: Path | None, revision: str = "", name: str = "me/mine") -> Model:
    return find(name, revision, Path(HERE), environ=environ, cache=cache)


def test_the_hub_is_asked_once_with_the_token_and_the_revision_and_then_remembered(
    repository: Repository, tmp_path: Path
) -> None:
    cache, pinned = tmp_path / "cache", repository.commit[:8]
    with open_hub(me__mine=replace(repository, token="hf_planted")) as hub:
        environ = environment(hub.url, HF_TOKEN="hf_planted")
        first = found(environ, cache, pinned)
        assert tokenizer(first, environ=environ, cache=cache) == b"{}"
        again = found(environ, cache, pinned)
        assert tokenizer(again, environ=environ, cache=cache) == b"{}"
    paths = [path for _, path in hub.asked]
    assert paths == [f"/me/mine/resolve/{pinned}/{name}" for name in ("config.json", "tokenizer.json")]
    assert first.decoder == again.decoder
    assert again.source == "config.json of the Hub, read before"
    assert not [path for path in cache.iterdir() if "hf_planted" in path.name + path.read_text()]


def test_another_revision_is_another_question(repository: Repository, tmp_path: Path) -> None:
    with open_hub(me__mine=repository) as hub:
        found(environment(hub.url), tmp_path, repository.commit[:8])
        found(environment(hub.url), tmp_path)
    assert len(hub.asked) == 2


def test_a_gated_model_without_a_token_is_refused_with_where_to_get_in(repository: Repository) -> None:
    with open_hub(me__mine=replace(repository, token="hf_right")) as hub:
        with pytest.raises(WorkloadError, match="it is gated, and HF_TOKEN is not set") as without:
            found(environment(hub.url), None)
        with pytest.raises(WorkloadError, match="your HF_TOKEN has no access") as wrong:
            found(environment(hub.url, HF_TOKEN="hf_wrong"), None)
    assert f"accept its terms at {hub.url}/me/mine" in without.value.hint
    assert "export HF_TOKEN" in without.value.hint
    assert {without.value.code, wrong.value.code} == {"gated-model"}


def test_an_unknown_model_is_refused_with_the_nearest_names(repository: Repository) -> None:
    with open_hub(me__mine=repository) as hub, pytest.raises(WorkloadError, match="the Hub has no such model") as told:
        found(environment(hub.url), None, name="mistralai/Mistral-7B-Instrct-v0.3")
    assert told.value.code == "unknown-model"
    assert told.value.hint.startswith(f"did you mean {MISTRAL}")


def test_the_nearest_names_are_told_without_a_network_too() -> None:
    with pytest.raises(WorkloadError, match="could not be reached") as told:
        found(NOWHERE, None, name="Mistral-7B-Instruct-v0.3")
    assert MISTRAL in told.value.hint


def test_an_unknown_revision_is_told_as_one(repository: Repository) -> None:
    with open_hub(me__mine=repository) as hub, pytest.raises(WorkloadError, match="has no revision deadbeef") as told:
        found(environment(hub.url), None, "deadbeef")
    assert told.value.code == "unknown-model"


def test_a_repository_without_a_config_is_no_model(repository: Repository) -> None:
    (repository.folder / "config.json").unlink()
    with open_hub(me__mine=repository) as hub, pytest.raises(WorkloadError, match=r"has no config\.json") as told:
        found(environment(hub.url), None)
    assert told.value.code == "model-kind"


def test_a_config_that_is_far_too_large_is_not_read_to_its_end(repository: Repository) -> None:
    (repository.folder / "config.json").write_text(" " * 1_100_000)
    with open_hub(me__mine=repository) as hub, pytest.raises(WorkloadError, match="far more than such a file"):
        found(environment(hub.url), None)


def test_without_a_network_the_built_in_table_stands_in_and_says_so() -> None:
    model = found(NOWHERE, None, name=MISTRAL.lower())
    assert model.name == MISTRAL
    assert model.source.startswith("built-in table (the Hub could not be reached: no connection")
    with pytest.raises(HubError, match="could not be reached"):
        tokenizer(model, environ=NOWHERE, cache=None)


def test_what_was_read_before_stands_in_where_the_hub_is_gone(repository: Repository, tmp_path: Path) -> None:
    with open_hub(me__mine=repository) as hub:
        first = found(environment(hub.url), tmp_path)
        tokenizer(first, environ=environment(hub.url), cache=tmp_path)
    gone = found(environment(hub.url), tmp_path)
    assert gone.decoder == first.decoder
    assert tokenizer(gone, environ=environment(hub.url), cache=tmp_path) == b"{}"


def test_offline_means_that_nothing_is_asked(repository: Repository) -> None:
    with open_hub(**{MISTRAL.replace("/", "__"): repository}) as hub:
        model = found(environment(hub.url, HF_HUB_OFFLINE="1"), None, name=MISTRAL)
    assert hub.asked == []
    assert model.source == "built-in table (HF_HUB_OFFLINE is set)"


def test_a_model_without_a_tokenizer_is_asked_for_it_once(repository: Repository, tmp_path: Path) -> None:
    (repository.folder / TOKENIZER).unlink()
    with open_hub(me__mine=repository) as hub:
        environ = environment(hub.url)
        for _ in range(2):
            with pytest.raises(HubError, match=r"the model has no tokenizer\.json"):
                tokenizer(found(environ, tmp_path), environ=environ, cache=tmp_path)
    assert [path.rpartition("/")[2] for _, path in hub.asked] == ["config.json", "tokenizer.json"]


def test_a_hub_that_sends_too_slowly_is_left(repository: Repository) -> None:
    ticks = iter(range(0, 1000, 30))
    with open_hub(me__mine=repository) as hub, pytest.raises(Unreachable, match="too slowly"):
        Hub(endpoint=hub.url, clock=lambda: float(next(ticks))).file(
            "me/mine", "", "config.json", most_bytes=10_000, seconds=20.0
        )


@pytest.mark.parametrize("endpoint", ["http://[bad", "huggingface.co", "http://a b"])
def test_an_endpoint_that_is_no_url_is_told(endpoint: str) -> None:
    with pytest.raises(WorkloadError, match="HF_ENDPOINT is not a URL"):
        found(environment(endpoint), None)


def test_what_huggingface_hub_downloaded_before_is_read_without_asking(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--me--mine"
    snapshot = repository / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(CONFIG))
    (snapshot / "tokenizer.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    environ = NOWHERE | {"HF_HOME": str(tmp_path)}
    model = found(environ, None)
    assert model.source == "config.json in the Hub's cache here"
    assert tokenizer(model, environ=environ, cache=None) == b"{}"
    assert found(environ, None, "abc1").folder == snapshot


def test_a_kept_file_is_whole_or_not_there(tmp_path: Path) -> None:
    kept = Kept(folder=tmp_path / "new", hub=Hub())
    path = kept.path("me/mine", "", ".json")
    assert path is not None
    kept.keep(path, b"{}")
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert Kept(folder=None, hub=Hub()).path("me/mine", "", ".json") is None


def test_a_machine_that_could_not_download_the_model_is_told_of_before_it_is_rented(repository: Repository) -> None:
    with open_hub(me__mine=replace(repository, token="hf_right")) as hub:
        with pytest.raises(WorkloadError, match="was not handed HF_TOKEN") as told:
            check_access("me/mine", "", endpoint=hub.url, token="")
        with pytest.raises(WorkloadError, match="no access with this HF_TOKEN"):
            check_access("me/mine", "", endpoint=hub.url, token="hf_wrong")
        check_access("me/mine", "", endpoint=hub.url, token="hf_right")
    assert "launch --secret HF_TOKEN" in told.value.hint
    check_access("me/mine", "", endpoint=hub.url, token="")

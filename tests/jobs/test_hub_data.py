"""Whether data sets of the Hub are found, chosen, pinned and refused as they should be, against a small hub."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from jobs.config_values import WorkloadError
from jobs.hub import Hub
from jobs.hub_data import MOST_BYTES, Wanted, choose, fetch
from jobs.shards import joined
from tests.hub import Repository, open_hub

ROW = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]}


def wanted(part: str = "train", name: str = "owner/rows", revision: str | None = None) -> Wanted:
    return Wanted.of(part, name, revision)


def repository(folder: Path, *paths: str, token: str | None = None) -> Repository:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps({**ROW, "path": path}) + "\n")
    return Repository(folder=folder, token=token)


@pytest.mark.parametrize(
    ("part", "paths", "chosen"),
    [
        ("train", ["README.md", "data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet"],
         ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        ("test", ["train.jsonl", "test.jsonl"], ["test.jsonl"]),
        ("validation", ["train.csv", "dev.csv", "test.csv"], ["dev.csv"]),
        ("train", ["alpaca_data.jsonl"], ["alpaca_data.jsonl"]),
        ("train", ["default/train/0000.parquet", "default/test/0000.parquet"], ["default/train/0000.parquet"]),
        ("train", ["dataset_infos.json", "alpaca_data_cleaned.json"], ["alpaca_data_cleaned.json"]),
        ("train", ["about.json", "train.jsonl"], ["train.jsonl"]),
        ("adjacent/sums", ["train.jsonl", "validation.jsonl", "test.jsonl"], ["test.jsonl"]),
        ("adjacent/sums", ["train.jsonl"], ["train.jsonl"]),
    ],
)  # fmt: skip
def test_the_usual_names_are_found(part: str, paths: list[str], chosen: list[str]) -> None:
    assert choose(wanted(part), paths) == chosen


def test_a_file_or_a_folder_can_be_named_behind_a_colon() -> None:
    paths = ["main/train-00000-of-00001.parquet", "main/test.jsonl", "socratic/train.jsonl", "odd/2024.jsonl"]
    assert choose(wanted(name="o/d:socratic/train.jsonl"), paths) == ["socratic/train.jsonl"]
    assert choose(wanted(name="o/d:main"), paths) == ["main/train-00000-of-00001.parquet"]
    assert choose(wanted("test", "o/d:main/"), paths) == ["main/test.jsonl"]
    assert choose(wanted("test", "o/d:odd"), paths) == ["odd/2024.jsonl"]
    assert choose(wanted(name="o/d:odd.json"), [*paths, "odd.json"]) == ["odd.json"]


@pytest.mark.parametrize(
    ("part", "paths", "said"),
    [
        ("train", ["main/train.jsonl", "socratic/train.jsonl"], "main/train.jsonl\nsocratic/train.jsonl"),
        ("train", ["a.jsonl", "b.jsonl"], "a.jsonl\nb.jsonl"),
        ("train", ["train.jsonl", "train.parquet"], "train.jsonl\ntrain.parquet"),
        ("test", ["rows.jsonl"], "rows.jsonl"),
        ("train", ["rows-2023.jsonl", "rows-2024.jsonl"], "rows-2023.jsonl"),
        ("train", [f"file-{letter}.csv" for letter in "abcdefghijklmnopq"], "... and 5 more"),
    ],
)
def test_where_several_would_do_all_are_shown_and_one_is_named_as_an_example(
    part: str, paths: list[str], said: str
) -> None:
    with pytest.raises(WorkloadError) as told:
        choose(wanted(part), paths)
    assert said in told.value.message
    assert f"data.{part}: owner/rows:{paths[0].split('/train')[0]}" in told.value.hint
    assert told.value.code == "data-set"


def test_what_is_no_data_file_is_not_taken_for_one() -> None:
    with pytest.raises(WorkloadError, match=r"has no \.jsonl, \.csv, \.parquet file"):
        choose(wanted(), ["README.md", "train.py", "train.arrow"])
    with pytest.raises(WorkloadError, match=r"has no data file none\.jsonl"):
        choose(wanted(name="o/d:none.jsonl"), ["train.jsonl"])


def test_a_file_is_fetched_once_for_each_commit(tmp_path: Path) -> None:
    with open_hub() as hub:
        hub.datasets["owner/rows"] = repository(tmp_path / "set", "train.jsonl", "test.jsonl")
        here = Hub(endpoint=hub.url)
        first = fetch(wanted(), here, tmp_path / "kept")
        assert json.loads(first.file.read_text())["path"] == "train.jsonl"
        assert first.file.name == "train.jsonl"
        assert "owner/rows:train.jsonl at c170c708" in first.note
        fetch(wanted(), here, tmp_path / "kept")
        assert sum("/resolve/" in path for _, path in hub.asked) == 1
        assert all("c170c708" in path for _, path in hub.asked if "/resolve/" in path)
        (tmp_path / "set/train.jsonl").write_text(json.dumps({**ROW, "path": "new"}) + "\n")
        hub.datasets["owner/rows"].commit = "d" * 40
        second = fetch(wanted(), here, tmp_path / "kept")
        assert json.loads(second.file.read_text())["path"] == "new"
        assert first.file.is_file()


def test_a_pinned_commit_needs_no_hub_the_second_time_and_a_branch_its_last_answer(tmp_path: Path) -> None:
    with open_hub() as hub:
        hub.datasets["owner/rows"] = repository(tmp_path / "set", "train.jsonl")
        commit, here = hub.datasets["owner/rows"].commit, Hub(endpoint=hub.url)
        pinned = fetch(wanted(revision=commit), here, tmp_path / "kept")
        branch = fetch(wanted(), here, tmp_path / "kept")
    assert fetch(wanted(revision=commit), here, tmp_path / "kept") == pinned
    again = fetch(wanted(), here, tmp_path / "kept")
    assert again.file == branch.file
    assert "did not answer" in again.note


def test_shards_become_one_file_in_their_order(tmp_path: Path) -> None:
    names = ["data/train-00001-of-00003.jsonl", "data/train-00000-of-00003.jsonl", "data/train-00002-of-00003.jsonl"]
    with open_hub() as hub:
        hub.datasets["owner/rows"] = repository(tmp_path / "set", *names)
        found = fetch(wanted(), Hub(endpoint=hub.url), tmp_path / "kept")
    assert [json.loads(line)["path"] for line in found.file.read_text().splitlines()] == sorted(names)
    assert "(3 files)" in found.note


def test_parquet_and_csv_shards_are_joined_too(tmp_path: Path) -> None:
    for at, text in enumerate(("one", "zwei ü")):
        parquet.write_table(pa.Table.from_pylist([{"prompt": text, "completion": "x"}]), tmp_path / f"t-{at}.parquet")
        (tmp_path / f"t-{at}.csv").write_text(f'prompt,completion\n"{text}, with\na break",x\n', encoding="utf-8")
    lines = joined([tmp_path / "t-0.parquet", tmp_path / "t-1.parquet"], tmp_path / "all.jsonl")
    assert [json.loads(line)["prompt"] for line in lines.read_text("utf-8").splitlines()] == ["one", "zwei ü"]
    table = joined([tmp_path / "t-0.csv", tmp_path / "t-1.csv"], tmp_path / "all.csv")
    assert table.read_text("utf-8").count("prompt,completion") == 1
    assert table.read_text("utf-8").count("with\na break") == 2
    (tmp_path / "other.csv").write_text("question,answer\na,b\n")
    with pytest.raises(WorkloadError, match="other columns"):
        joined([tmp_path / "t-0.csv", tmp_path / "other.csv"], tmp_path / "none.csv")
    assert not [path for path in tmp_path.iterdir() if "none" in path.name]


@pytest.mark.parametrize(
    ("name", "revision", "token", "said", "code"),
    [
        ("owner/gated", None, "", "gated, and HF_TOKEN is not set", "gated-data"),
        ("owner/gated", None, "hf_wrong", "your HF_TOKEN has no access", "gated-data"),
        ("owner/none", None, "", "no such data set, or it is private", "data-set"),
        ("owner/open", "v9", "", "no revision v9", "data-set"),
    ],
)
def test_each_refusal_of_the_hub_says_what_to_do(
    tmp_path: Path, name: str, revision: str | None, token: str, said: str, code: str
) -> None:
    with open_hub() as hub:
        hub.datasets["owner/open"] = repository(tmp_path / "open", "train.jsonl")
        hub.datasets["owner/gated"] = repository(tmp_path / "gated", "train.jsonl", token="hf_right")
        with pytest.raises(WorkloadError) as told:
            fetch(wanted(name=name, revision=revision), Hub(endpoint=hub.url, token=token), tmp_path / "kept")
    assert said in told.value.message
    assert told.value.hint
    assert told.value.code == code
    assert not list((tmp_path / "kept").rglob("train.jsonl*"))


def test_a_hub_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="cannot be read now") as told:
        fetch(wanted(), Hub(endpoint="http://127.0.0.1:9"), tmp_path)
    assert told.value.code == "hub-unreachable"
    with pytest.raises(WorkloadError, match="HF_HUB_OFFLINE"):
        fetch(wanted(), Hub(offline=True), tmp_path)


def test_the_token_goes_to_the_hub_and_not_where_it_sends_us(tmp_path: Path) -> None:
    with open_hub() as other, open_hub() as hub:
        other.datasets["owner/rows"] = repository(tmp_path / "set", "train.jsonl")
        hub.datasets["owner/rows"] = other.datasets["owner/rows"]
        hub.elsewhere = other.url
        fetch(wanted(), Hub(endpoint=hub.url, token="hf_ours"), tmp_path / "kept")
        assert hub.tokens == {"hf_ours"}
        assert other.tokens == set()
        assert other.fetched() == {"train.jsonl"}


def test_too_much_is_refused_before_it_is_fetched_and_names_that_lead_elsewhere_are_not_files(tmp_path: Path) -> None:
    def listing(**sizes: int) -> bytes:
        files = [{"rfilename": path, "size": size} for path, size in sizes.items()]
        return json.dumps({"sha": "e" * 40, "siblings": files}).encode()

    class Told(Hub):
        said = b""

        def asked(self, place: str, *, of: str, most_bytes: int, seconds: float) -> bytes:
            return self.said

    class Large(Told):
        said = listing(**{"train.jsonl": MOST_BYTES + 1})

    class Sly(Told):
        said = listing(**{"../train.jsonl": 1, "a/../../train.csv": 1, ".hidden/train.jsonl": 1, "/train.jsonl": 1})

    with pytest.raises(WorkloadError, match=r"4\.3 GB for train"):
        fetch(wanted(), Large(), tmp_path)
    with pytest.raises(WorkloadError, match=r"no \.jsonl"):
        fetch(wanted(), Sly(), tmp_path)

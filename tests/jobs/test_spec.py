"""`launch.yaml`: what it may hold, and that every mistake is told with its place and the way out."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from jobs import spec
from jobs.spec import JobSpec, LoadedSpec, SpecError
from jobs.spec_train import Train

GOOD = "name: a\nmodel: o/m\ndata:\n  train: data/train.jsonl\n  test: data/test.jsonl\n"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder with data; `write` puts the launch.yaml there."""
    folder = tmp_path / "my job"
    (folder / "data").mkdir(parents=True)
    for part in ("train", "test"):
        (folder / "data" / f"{part}.jsonl").write_text("{}\n")
    (folder / "launch.yaml").write_text(GOOD)
    return folder


def load(folder: Path, text: str | bytes = GOOD, **flags: object) -> LoadedSpec:
    (folder / "launch.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return spec.load(folder, **flags)  # type: ignore[arg-type]  # flags of any kind


def mistake(folder: Path, text: str | bytes = GOOD, **flags: object) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load(folder, text, **flags)
    assert caught.value.hint
    assert "pydantic" not in caught.value.message
    return caught.value


CONTRACT = """
name: support-json
model: mistralai/Mistral-7B-Instruct-v0.3     # or a local folder
revision: c170c708
data:
  train: data/train.jsonl
  split: {validation: 0.1, test: 0.1, group: customer_id}
train: {method: qlora, r: 16, lora_alpha: 32, lora_dropout: 0.05, target_modules: [q_proj, v_proj], epochs: 3,
        learning_rate: 2.0e-4, max_length: 2048}
evaluate:
  metrics: [exact, json_fields]
gate: {exact: {at_least: 0.80, better_than: base}}
"""


def test_the_contract_s_example_is_read(job: Path) -> None:
    found = load(job, CONTRACT).spec
    assert (found.name, found.revision) == ("support-json", "c170c708")
    assert found.data.split is not None
    assert found.data.split.group == "customer_id"
    assert found.gate.rules()["exact"].at_least == 0.8
    assert found.settings()["gate"] == {"exact": {"at_least": 0.8, "better_than": "base"}}


def test_defaults_are_those_of_the_contract(job: Path) -> None:
    train = load(job).spec.train
    assert (train.method, train.r, train.lora_alpha, train.lora_dropout) == ("qlora", 16, 32, 0.05)
    assert train.target_modules == ["q_proj", "v_proj"]
    assert (train.epochs, train.learning_rate, train.max_length) == (3.0, 2e-4, 2048)
    assert train.max_steps is None


def test_the_file_or_its_folder_may_be_named(job: Path) -> None:
    by_file, by_folder = spec.load(job / "launch.yaml"), spec.load(job)
    assert by_file == by_folder
    assert by_folder.file == job / "launch.yaml"
    assert spec.data_files(by_folder) == {"train": job / "data/train.jsonl", "test": job / "data/test.jsonl"}


def test_without_a_test_file_or_a_split_a_tenth_each_is_held_out(job: Path) -> None:
    found = load(job, "model: o/m\ndata: {train: data/train.jsonl}\n").spec
    assert found.data.split is not None
    assert (found.data.split.validation, found.data.split.test) == (0.1, 0.1)


def test_a_job_without_a_name_is_named_after_its_folder(job: Path) -> None:
    assert load(job, GOOD.replace("name: a\n", "")).spec.name == "my-job"


MISTAKES = {
    "an unknown key": (GOOD + "trian: {r: 8}\n", "line 6: unknown key `trian`: did you mean `train`?"),
    "an unknown key below": (
        GOOD + "train:\n  r: 8\n  lora_aplha: 3\n",
        "line 8: unknown key `lora_aplha` in `train`: did you mean `lora_alpha`?",
    ),
    "an unknown key in a list": (
        GOOD + "evaluate: {adjacent: [{name: s, dat: b}]}\n",
        "line 6: unknown key `dat` in `evaluate.adjacent.0`: did you mean `data`?",
    ),
    "an unknown key in a gate": (
        GOOD + "gate: {exact: {atleast: 1}}\n",
        "unknown key `atleast` in `gate.exact`: did you mean `at_least`?",
    ),
    "a key like none": (GOOD + "zzz: 1\n", "line 6: unknown key `zzz`"),
    "a fraction": (GOOD + "train: {r: 8.5}\n", "line 6: `train.r` should be a whole number, not 8.5"),
    "a number as text": (GOOD + "train: {r: '8'}\n", "`train.r` should be a whole number, not '8'"),
    "true as a number": (GOOD + "train: {r: true}\n", "`train.r` should be a whole number, not True"),
    "too small": (GOOD + "train: {r: 0}\n", "`train.r` should be 1 or more, not 0"),
    "too large": (GOOD + "train: {lora_dropout: 1}\n", "`train.lora_dropout` should be less than 1, not 1"),
    "not a number": (GOOD + "train: {learning_rate: .nan}\n", "should be a finite number"),
    "one module": (GOOD + "train: {target_modules: q_proj}\n", "a list, as [q_proj, v_proj], or all-linear, not"),
    "a method of its own": (GOOD + "train: {method: full}\n", "should be one of 'qlora' or 'lora', not 'full'"),
    "no block": (GOOD + "train: 3\n", "`train` should be a block of keys, not 3"),
    "a metric of its own": (GOOD + "evaluate: {metrics: [exact, bleu]}\n", "`evaluate.metrics.1` should be one of"),
    "a commit of digits": (GOOD + "revision: 1234567\n", "`revision` should be a text, not 1234567"),
    "no data": ("model: o/m\n", "`data` is missing"),
    "test rows twice": (GOOD + "  split: {test: 0.2}\n", "line 3: data: test rows come from"),
    "validation rows twice": (
        GOOD.replace("test: data/test.jsonl", "validation: data/test.jsonl\n  split: {test: 0.1, validation: 0.1}"),
        "validation rows come from",
    ),
    "a split of everything": (GOOD + "  split: {test: 0.6, validation: 0.6}\n", "leave nothing to train on"),
    "a prompt that is not there": (
        GOOD + "evaluate: {prompted: {system: a.txt, shots: 3}}\n",
        "line 6: evaluate.prompted.system: there is no file",
    ),
    "adjacent rows that are not there": (
        GOOD + "evaluate: {adjacent: [{name: s, data: b.jsonl, metric: rouge_l}]}\n",
        "evaluate.adjacent: there is no file",
    ),
    "an adjacent task of nothing": (GOOD + "evaluate: {adjacent: [{name: s}]}\n", "name `data`"),
    "an adjacent metric of its own": (
        GOOD + "evaluate: {adjacent: [{name: s, data: data/test.jsonl, metric: bleu}]}\n",
        "`metric` is one of exact",
    ),
    "two adjacent tasks of one name": (
        GOOD + "evaluate: {adjacent: [{name: s, harness: a}, {name: S, harness: b}]}\n",
        "the same name",
    ),
    "a gate on an arm that does not run": (GOOD + "gate: {exact: {better_than: prompted}}\n", "no `evaluate.prompted`"),
    "a gate that says nothing": (GOOD + "gate: {exact: {}}\n", "`at_least`, `at_most` or `better_than`"),
    "a gate on no metric": (
        GOOD + "gate: {exakt: {at_least: 0.5}}\n",
        "unknown key `exakt` in `gate`: did you mean `exact`?",
    ),
    "private data and a judge": (
        GOOD + "privacy: private\nevaluate: {judge: {endpoint: 'https://h/v1', model: m}}\n",
        "exclude each other",
    ),
    "an endpoint that is none": (GOOD + "evaluate: {judge: {endpoint: h, model: m}}\n", "is a URL"),
    "columns that make no row": (GOOD + "  columns: {prompt: q}\n", "name `messages`, or both"),
    "a list": ("- a\n", "line 1: it should hold keys and values"),
    "a broken line": ("name: a\ndata: [\n", "line 3: "),
    "a key twice": ("name: a\nname: b\n", "line 2: found duplicate key"),
    "no UTF-8": (b"name: a\nmodel: \xff\n", "line 2: it is not UTF-8 text"),
    "a number as key": ("name: a\n1: b\n", "a key is a word, not 1"),
    "a deep nest": ("[" * 3000, "line 1: brackets are nested"),
    "a bomb": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{n}: &{n} [{','.join(['*' + m] * 10)}]\n" for m, n in pairwise("abcde")),
        "unfolds to more than",
    ),
    "a huge file": (b"#" * (2 << 20), "larger than 1 MiB"),
    "a missing file": (GOOD.replace("train.jsonl", "trian.jsonl"), "line 4: data.train: there is no file"),
    "an empty model folder": (GOOD.replace("o/m", "./data"), "line 2: model: "),
    "no id of the Hub": (GOOD.replace("o/m", "o m"), "neither a folder nor an id of the Hub"),
    "a name with a space": (GOOD.replace("name: a", "name: a b"), "line 1: `name` should be letters"),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_the_file_is_told_with_its_line_and_what_was_expected(
    job: Path, text: str | bytes, said: str
) -> None:
    message = mistake(job, text).message
    assert message.startswith(f"{job / 'launch.yaml'}, line ")
    assert said in message


def test_a_hint_tells_the_default_or_the_known_keys(job: Path) -> None:
    assert mistake(job, GOOD + "train: {r: x}\n").hint == "without this line it is 16"
    assert "lora_alpha" in mistake(job, GOOD + "train: {q: x}\n").hint


def test_a_file_that_is_not_there_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        spec.load(tmp_path)
    assert str(tmp_path / "launch.yaml") in caught.value.message
    assert "launch init" in caught.value.hint


def test_set_lays_typed_values_over_the_file(job: Path) -> None:
    sets = ["train.r=8", "train.learning_rate=1e-3", "revision=1e5", "gate.exact.at_least=0.5", "train.max_steps=3"]
    found = load(job, GOOD + "train: {r: 4, seed: 3}\n", sets=sets).spec
    assert (found.train.r, found.train.learning_rate, found.train.max_steps, found.train.seed) == (8, 1e-3, 3, 3)
    assert found.revision == "1e5"
    assert found.gate.rules()["exact"].at_least == 0.5
    assert load(job, sets=["train.target_modules=[a, b]"]).spec.train.target_modules == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.rr=8", "--set train.rr=8: unknown key `rr` in `train`"),
        ("train.r=x", "--set train.r=x: `train.r` should be a whole number, not 'x'"),
        ("train.r", "not KEY=VALUE"),
        (".=1", "not KEY=VALUE"),
        ("train.r=[1", "--set train.r=[1: "),
        ("train=3", "--set train=3: `train` should be a block of keys"),
        ("data.train=nope", "--set data.train=nope: data.train: there is no file"),
    ],
)
def test_a_mistake_in_a_flag_names_the_flag(job: Path, text: str, said: str) -> None:
    assert said in mistake(job, sets=[text]).message


def test_another_model_by_flag_drops_the_pinned_revision(job: Path) -> None:
    assert load(job, GOOD + "revision: abc\n", model="x/y").spec.revision is None
    assert load(job, GOOD + "revision: abc\n").spec.revision == "abc"


def test_a_local_model_is_found_from_the_file_s_folder_and_by_flag_from_here(job: Path) -> None:
    (job.parent / "base").mkdir()
    (job.parent / "base" / "config.json").write_text("{}")
    loaded = load(job, GOOD.replace("o/m", "../base"))
    assert loaded.model_folder is not None
    assert loaded.model_folder.resolve() == job.parent / "base"
    assert load(job, model=str(job.parent / "base")).model_folder == job.parent / "base"
    assert load(job).model_folder is None


def test_data_by_flag_is_a_file_or_a_folder(job: Path) -> None:
    (job / "other.jsonl").write_text("{}\n")
    found = load(job, data=str(job / "other.jsonl"))
    assert spec.data_files(found) == {"train": job / "other.jsonl"}
    assert found.spec.data.split is not None
    assert set(spec.data_files(load(job, data=str(job / "data")))) == {"train", "test"}
    assert "train.jsonl" in mistake(job, data=str(job)).message
    assert mistake(job, data=str(job / "nope")).message.startswith(f"--data {job / 'nope'}: ")


def test_settings_survive_json_and_are_a_valid_job_again(job: Path) -> None:
    found = load(job, CONTRACT).spec
    assert JobSpec.model_validate_json(found.model_dump_json()) == found
    assert found.settings()["revision"] == "c170c708"


def test_a_job_without_a_file_is_model_and_data_with_every_default(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    loaded = spec.load_flags("me/Mine-7B", str(tmp_path / "rows.jsonl"), sets=["train.r=8"])
    assert (loaded.spec.name, loaded.spec.model, loaded.spec.train.r) == ("rows", "me/Mine-7B", 8)
    assert loaded.spec.train.model_dump(exclude={"r"}) == Train().model_dump(exclude={"r"})
    assert spec.data_files(loaded) == {"train": tmp_path / "rows.jsonl"}


def test_a_job_without_a_file_names_the_flag_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--data .*none\.jsonl: data\.train: there is no file"):
        spec.load_flags("me/mine", str(tmp_path / "none.jsonl"))
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(SpecError, match=r"--set train\.r=0: `train\.r` should be 1 or more"):
        spec.load_flags("me/mine", str(tmp_path / "rows.jsonl"), sets=["train.r=0"])


def test_money_is_the_decimal_that_was_written(job: Path) -> None:
    judge = "evaluate: {judge: {endpoint: 'https://h/v1', model: m, input_usd_per_million: 0.1, cap_usd: '0.30'}}\n"
    found = load(job, GOOD + judge).spec
    assert found.evaluate.judge is not None
    assert (found.evaluate.judge.input_usd_per_million, found.evaluate.judge.cap_usd) == (
        Decimal("0.1"),
        Decimal("0.3"),
    )
    assert JobSpec.model_validate_json(found.model_dump_json()) == found
    assert "`evaluate.judge.cap_usd`" in mistake(job, GOOD + judge.replace("'0.30'", "lots")).message

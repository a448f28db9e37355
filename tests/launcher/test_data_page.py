"""What `launch data` shows and says, the line in the plan, private data, and the papers beside the results."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from jobs import spec
from jobs.checked_data import Checked
from jobs.qlora.dataset.report import (
    Cluster,
    Conflict,
    DataReport,
    Diversity,
    Dropped,
    Example,
    Fault,
    PartSize,
    Place,
    Removed,
    Source,
    Tokens,
)
from launcher import data_page, data_papers, job_data
from launcher.config import Config
from launcher.errors import LaunchError
from launcher.names import RESULT_SUFFIXES, Names
from launcher.request import Request
from tests.fake_world import Stage
from tests.launcher.typed import Capture, Launch, document, typing, words
from tests.launcher.values import NOW

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "support-json"
WIDTHS = pytest.mark.parametrize("width", [80, 120])


def place(line: int, file: str = "mine.csv") -> Place:
    return Place(file=file, line=line)


def dropped(stage: str, line: int, similarity: float, text: str, kept: str, kept_part: str = "train") -> Dropped:
    return Dropped(
        stage=stage, part="train", dropped=place(line), kept=place(line - 7), kept_part=kept_part,
        similarity=similarity, dropped_text=text, kept_text=kept,
    )  # fmt: skip


FAULTS = (
    Fault("near-empty-target", "warning", "train", 2, "the answer says next to nothing", "kept",
          (Example(place(19), '1 character: "."', "Where is my order?"), Example(place(91), "2 characters", "why?"))),
    Fault("empty-turn", "error", "train", 5, "a turn says nothing", "left out",
          tuple(Example(place(at), "messages[1]", "Can I have a refund \x1b[31mnow\x1b[0m?") for at in (14, 15, 30))),
)  # fmt: skip
REPORT = DataReport(
    sources=(
        Source("train", "mine.csv", "csv", "prompt_completion", 430, "a" * 64),
        Source("test", "test.jsonl", "jsonl", "messages", 100, "b" * 64),
    ),
    parts=(PartSize("train", 400, 410, 166, 184, 1_195, "c" * 64), PartSize("test", 100, 100, 165, 183, 193, "d" * 64)),
    faults=FAULTS,
    removed=tuple(Removed(stage, "train", n) for stage, n in (("bad", 5), ("exact", 4), ("near", 5), ("leak", 3))),
    pairs=(
        dropped("exact", 40, 1.0, "where is it?", "Where is it?"),
        dropped("near", 41, 0.93, "Order 5 never came to my door", "My order 5 did not come to the door"),
        dropped("leak", 50, 0.97, "How do I return a lamp?", "How can I return a lamp?", "test"),
    ),
    conflict_count=4,
    conflicts=(Conflict((place(7), place(88)), "Is the shop open on Sunday?", ("Yes, until noon.", "No.")),),
    diversity=Diversity(
        rows=400, clusters=12, effective=9.4, largest_share=0.21,
        largest=(Cluster(84, place(3), "Where is my order 4711?"),), rare=(Cluster(1, place(77), "Do you hire?"),),
    ),
    embedder="static", threshold=0.3, threshold_means="a cosine of at least 0.3 counts as the same, measured",
    notes=("validation: 40 of 430 rows are 9%, not 10%: no less is possible",),
    template="checked with base's chat_template.jinja: all 500 conversations",
    tokens=(Tokens("train", 410, 41_000, 9_000, 104, 115, 1_024, "counted"),),
)  # fmt: skip


@pytest.fixture
def launch(stage: Stage) -> Launch:
    return typing(stage)


def checked(report: DataReport) -> Checked:
    return Checked(loaded=spec.load(EXAMPLE), report=report, notes=(), papers={})


def shown(report: DataReport, width: int = 80, *, verbose: bool = False) -> str:
    return data_page.page(checked(report), width, verbose=verbose).replace(f"{ROOT}/", "")


@WIDTHS
def test_the_report_reads_as_it_should(width: int, snapshot: SnapshotAssertion) -> None:
    assert shown(REPORT, width) == snapshot
    assert all(len(line) <= width for line in shown(REPORT, width).splitlines())


def test_a_report_on_nothing_but_good_rows_is_short(snapshot: SnapshotAssertion) -> None:
    plain = DataReport(sources=REPORT.sources[1:], parts=REPORT.parts[1:], template="not checked: no connection")
    assert shown(plain) == snapshot


def test_what_stops_the_job_comes_first_and_is_what_to_mend(snapshot: SnapshotAssertion) -> None:
    stops = Fault("template-refuses", "error", "train", 1, "the model's chat template refuses these turns", "stops",
                  (Example(place(3), "roles must alternate", "hello"),))  # fmt: skip
    page = shown(replace(REPORT, faults=(FAULTS[0], stops), private=True))
    assert page == snapshot
    assert page.index("template-refuses") < page.index("near-empty-target")


def test_verbose_shows_every_pair_that_the_report_holds() -> None:
    pairs = tuple(dropped("near", at, 0.9, f"text {at}", "the first") for at in range(50, 60))
    many = replace(REPORT, pairs=pairs, removed=(Removed("near", "train", 30),))
    assert shown(many).count("text 5") == data_page.SHOWN_PAIRS
    assert "... and 27 more" in shown(many)
    assert shown(many, verbose=True).count("text 5") == 10


def test_no_text_of_a_row_reaches_the_terminal_as_a_command() -> None:
    assert "\x1b" not in shown(REPORT, verbose=True)


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (REPORT, "data: 5 broken rows, 9 repeats, 3 leaks left out, 4 conflicts, 2 warnings (launch data)"),
        (DataReport((), ()), "data: nothing left out, no warnings (launch data)"),
        (
            DataReport((), (), removed=(Removed("exact", "train", 1), Removed("select", "train", 2)), private=True),
            f"data: 1 repeat, 2 rows not selected left out; {job_data.PRIVATE} (launch data)",
        ),
        (
            DataReport((), (), template="not checked with the model's chat template: no connection"),
            "data: nothing left out, no warnings; chat template not checked (launch data)",
        ),
    ],
)
def test_the_plan_says_it_in_a_line(report: DataReport, line: str) -> None:
    assert job_data.line(report) == line


# The command


def job(folder: Path, rows: int = 300, **settings: object) -> Path:
    """A job of so many rows for the example's model; one answer is repeated, with another capital."""
    turns = [(f"What is {at} plus {at}?", f"It is {2 * at}.") for at in range(rows - 1)]
    turns.append((turns[0][0].upper(), turns[0][1]))
    lines = [
        json.dumps({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]})
        for asked, said in turns
    ]
    (folder / "rows.jsonl").write_text("".join(line + "\n" for line in lines))
    document = {"name": "sums", "model": str(ROOT / "examples/base"), "data": {"train": "rows.jsonl"}, **settings}
    (folder / "launch.yaml").write_text(json.dumps(document))
    return folder / "launch.yaml"


def test_three_hundred_rows_are_reported_without_any_account(tmp_path: Path, launch: Launch, capsys: Capture) -> None:
    path = job(tmp_path)
    assert launch("data", "--job", str(path)) == 0
    out = capsys.readouterr().out
    assert out.startswith("sums · 300 rows read")
    assert "taken out: repeat, 1 of" in out
    assert "all 299 conversations" in words(out)
    assert out.rstrip().endswith(f"next  launch estimate --job {path}")
    assert launch("data", "--job", str(path), "--json") == 0
    told = document(capsys)
    assert (told["event"], told["job"], told["schema"]) == ("data", "sums", 1)
    assert sum(part["rows"] for part in told["parts"]) == 299
    assert {one["part"] for one in told["tokens"]} == {"train", "validation", "test"}


def test_rows_that_the_template_cannot_take_are_shown_and_refused(
    tmp_path: Path, launch: Launch, capsys: Capture
) -> None:
    path = job(tmp_path, rows=30)
    base = tmp_path / "base"
    base.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (base / name).write_bytes((ROOT / "examples/base" / name).read_bytes())
    (base / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if '7 plus 7' in m.content %}{{ raise_exception('no sevens') }}{% endif %}"
        "{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}{{ '' }}{% endif %}"
    )
    argv = ("--job", str(path), "--set", f"model={base}")
    assert launch("data", *argv) == 2
    out = capsys.readouterr().out
    assert "template-refuses" in out
    assert "rows.jsonl:8  no sevens" in out
    assert launch("estimate", *argv) == 2
    told = words(capsys.readouterr().err)
    assert "rows.jsonl:8: no sevens" in told
    assert "hint: launch data" in told
    assert launch("estimate", *argv, "--json") == 2
    assert document(capsys)["code"] == "chat-template"


# Private data


@pytest.mark.parametrize(
    ("in_config", "in_job", "private"),
    [(False, {}, False), (True, {}, True), (True, {"privacy": "public"}, False), (False, {"privacy": "private"}, True)],
)
def test_private_is_said_by_the_job_or_else_by_the_settings(
    tmp_path: Path, stage: Stage, in_config: bool, in_job: dict[str, object], private: bool
) -> None:
    world = replace(stage.laptop(), config=Config(private=in_config))
    ready = job_data.read_job(Request(job=job(tmp_path, rows=30, **in_job)), world)
    assert (ready.loaded.spec.privacy == "private", ready.data.report.private) == (private, private)


def test_private_data_and_private_hosts_exclude_each_other(tmp_path: Path, stage: Stage) -> None:
    request = Request(job=job(tmp_path, rows=30, privacy="private"), community=True)
    with pytest.raises(LaunchError, match="would show it to private hosts") as told:
        job_data.read_job(request, stage.laptop())
    assert (told.value.code, int(told.value.exit_code)) == ("private-data", 2)


def test_settings_that_make_a_job_private_are_named_where_its_file_asks_a_judge(tmp_path: Path, stage: Stage) -> None:
    judge = {"endpoint": "https://judge.test/v1", "model": "m"}
    world = replace(stage.laptop(), config=Config(private=True))
    with pytest.raises(LaunchError, match=r"`private: true` stands in config\.yaml"):
        job_data.read_job(Request(job=job(tmp_path, rows=30, evaluate={"judge": judge})), world)


# Beside the results


def test_the_papers_are_kept_with_the_run_and_laid_beside_its_results(tmp_path: Path) -> None:
    data_papers.keep({"report.json": b"{}", "dropped.jsonl": b""}, tmp_path / "run")
    data_papers.bring(tmp_path / "run", tmp_path / "out")
    data_papers.bring(tmp_path / "run", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/data").iterdir()) == ["dropped.jsonl", "report.json"]
    data_papers.bring(tmp_path / "older", tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("path", ["data/report.json", "Data/report.json", "data/dropped.jsonl"])
def test_no_machine_writes_into_the_folder_of_the_data_report(path: str) -> None:
    assert "this name is ours" in Names(RESULT_SUFFIXES).refuse(path)


def test_the_document_is_the_report_under_the_usual_head() -> None:
    told = data_page.document(checked(REPORT), NOW)
    assert list(told)[:5] == ["schema", "event", "at", "run", "job"]
    assert told["conflict_count"] == 4

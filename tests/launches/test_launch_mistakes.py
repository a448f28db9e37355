"""What people get wrong, typed at the real program: a message, a hint, the exit code, nothing created, no traceback."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.launches.laptop import Laptop, Said

pytestmark = pytest.mark.cloud

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """What is done wrong, and what the program must say to it."""

    words: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    before: Callable[[Laptop], object] = lambda laptop: None


def _yaml(**keys: object) -> Callable[[Laptop], object]:
    def change(laptop: Laptop) -> None:
        path = laptop.job / "launch.yaml"
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}, indent=1))

    return change


def _break_row(laptop: Laptop) -> None:
    rows = (laptop.job / "train.jsonl").read_text().splitlines()
    rows[4] = '{"messages": [{"role": "user", "content": "half a row'
    (laptop.job / "train.jsonl").write_text("\n".join(rows) + "\n")


def _no_keys(laptop: Laptop) -> None:
    for name in KEYS:
        del laptop.environ[name]


def _no_quota(laptop: Laptop) -> None:
    for region in ("us-east-1", "us-east-2"):
        for code in ("L-3819A6DF", "L-DB2E81BA"):
            laptop.cloud.quota(region, code, 0)


def _no_capacity(laptop: Laptop) -> None:
    laptop.cloud.fault("RunInstances", "before", 1000, code="InsufficientInstanceCapacity")


JOB = ("--job", "job")
A10G = ("--budget", "5", "--gpu", "a10g", "--yes", *JOB)
MISTAKES = {
    "a flag that there is not": Mistake(words=("--bugdet", "5"), code=2, says=("--budget",)),
    "a budget of nothing": Mistake(words=("--budget", "0", *JOB), code=2, says=("above 0",)),
    "a GPU that there is not": Mistake(words=("--budget", "5", "--gpu", "a10h", *JOB), code=2, says=("A10G",)),
    "two markets": Mistake(words=(*A10G, "--spot", "--on-demand"), code=2, says=("exclude each other",)),
    "no budget": Mistake(words=("--gpu", "a10g", "--yes", *JOB), code=2, says=("--budget",)),
    "nobody to ask": Mistake(words=("--budget", "5", "--gpu", "a10g", *JOB), code=2, says=("--yes",)),
    "no job": Mistake(words=("--budget", "5", "--yes", "--job", "nowhere"), code=2, says=("nowhere",)),
    "a file that is no YAML": Mistake(
        words=A10G, code=2, says=("launch.yaml, line",),
        before=lambda laptop: (laptop.job / "launch.yaml").write_text("name: [half\n"),
    ),
    "a key that there is not": Mistake(words=A10G, code=2, says=("epoch", "epochs"), before=_yaml(train={"epoch": 1})),
    "a broken row": Mistake(words=A10G, code=2, says=("train.jsonl:5",), before=_break_row),
    "no data": Mistake(
        words=A10G, code=2, says=("train.jsonl",), before=lambda laptop: (laptop.job / "train.jsonl").unlink()
    ),
    "a secret that is not set": Mistake(words=(*A10G, "--secret", "NOT_SET"), code=2, says=("export NOT_SET",)),
    "no credentials": Mistake(words=A10G, code=4, says=("credentials", "AWS_PROFILE"), before=_no_keys),
    "credentials that are refused": Mistake(
        words=A10G, code=4, says=("credentials",),
        before=lambda laptop: laptop.cloud.fault("*", "before", 1000, code="AuthFailure", status=401),
    ),
    "no default network": Mistake(
        words=A10G, code=4, says=("VPC", "subnet"), before=lambda laptop: laptop.cloud.knobs(default_vpc=False)
    ),
    "no quota": Mistake(words=A10G, code=4, says=("L-", "0 vCPU", "quota"), before=_no_quota),
    "no capacity": Mistake(
        words=(*A10G, "--on-demand", "--region", "us-east-2"), code=3, says=("--wait-capacity",), before=_no_capacity
    ),
    "a model that does not fit": Mistake(
        words=(*A10G, "--model", "meta-llama/Llama-2-70b-hf"), code=3, says=("GiB", "A10G")
    ),
    "a budget too small": Mistake(
        words=("--budget", "0.05", "--gpu", "a10g", "--yes", *JOB), code=3, says=("budget", "--budget")
    ),
    "no such provider": Mistake(words=(*A10G, "--provider", "awz"), code=2, says=("aws",)),
    "no such run": Mistake(words=("show", "nobody"), code=2, says=("launch ps",)),
}  # fmt: skip


def _all_is_said(said: Said, mistake: Mistake) -> None:
    assert said.code == mistake.code, said.err
    assert "error: " in said.err
    assert "\nhint: " in said.err
    assert "Traceback" not in said.err
    assert [part for part in mistake.says if part not in said.err] == [], said.err


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_a_way_out_and_rents_nothing(laptop: Laptop, name: str) -> None:
    mistake = MISTAKES[name]
    mistake.before(laptop)
    said = laptop.run(*mistake.words)
    _all_is_said(said, mistake)
    assert laptop.cloud.machines() == ()


def test_a_mistake_is_one_json_document_where_json_was_asked_for(laptop: Laptop) -> None:
    said = laptop.run("--gpu", "a10h", "--json")
    (event,) = said.events
    assert (event["event"], event["exit_code"], said.code) == ("error", 2, 2)
    assert event["hint"]

"""Planted secrets: the job gets what it was promised, and no sink holds a trace of it, or of the cloud's own keys."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.canaries import CANARIES, holding, holding_below
from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud

TOKEN = CANARIES["hub-token"]
AWS_KEY = CANARIES["aws-secret"]
LOOK_SECONDS = 0.01


@contextmanager
def _all_arguments() -> Iterator[set[bytes]]:
    """The command lines of all processes, looked at again and again for the length of the block."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes())
                except OSError:  # it ended between the look and the reading
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_a_secret_reaches_the_job_and_nothing_else(laptop: Laptop) -> None:
    laptop.quick(tell="HF_TOKEN")
    with _all_arguments() as arguments:
        said = laptop.launched("--secret", "HF_TOKEN", HF_TOKEN=TOKEN, AWS_SECRET_ACCESS_KEY=AWS_KEY)
    assert said.code == 0, said.err
    machine = laptop.machine()
    log = next(laptop.work.glob("runs/*/logs/job.log")).read_text()
    assert "HF_TOKEN is [redacted]" in log, "the job had it, and its log does not"
    assert any(b"tests.launches.drive" in one for one in arguments), "the looks saw nothing"
    assert any(b"guest.pyz" in one for one in arguments)
    assert [one for one in arguments if holding(one)] == []
    assert holding(said.out + said.err) == ()
    assert holding(machine.user_data) == ()
    assert holding_below(laptop.folder) == ()
    assert holding_below(machine.root) == ()


def _planted(laptop: Laptop) -> tuple[dict[str, str], set[Path]]:
    """A secret wherever a person has some: variables, files that tools keep in the home folder, a stray .env."""
    files = {
        ".aws/credentials": f"[work]\naws_access_key_id = A\naws_secret_access_key = {CANARIES['aws-secret']}\n",
        ".lambda_cloud/lambda_keys": f"api_key = {CANARIES['lambda-key']}\n",
        ".runpod/config.toml": f'apikey = "{CANARIES["runpod-key"]}"\n',
        ".cache/huggingface/token": CANARIES["hub-token"],
        "work/job/.env": f"OPENAI_API_KEY={CANARIES['judge-key']}\n",
        "work/job/.git/config": f"url = https://me:{CANARIES['url-password']}@git.example\n",
    }
    for name, text in files.items():
        path = laptop.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    login = f"me:{CANARIES['url-password']}@127.0.0.1:9"
    environ = {
        "HF_TOKEN": CANARIES["hub-token"],
        "PASSPHRASE": CANARIES["job-secret"],
        "AWS_SECRET_ACCESS_KEY": CANARIES["aws-secret"],
        "AWS_SESSION_TOKEN": CANARIES["aws-session"],
        "LAMBDA_API_KEY": CANARIES["lambda-key"],
        "LAMBDA_API_BASE_URL": f"http://{login}/api/v1",
        "RUNPOD_API_KEY": CANARIES["runpod-key"],
        "RUNPOD_API_BASE_URL": f"http://{login}",
        "OPENAI_API_KEY": CANARIES["judge-key"],
        "HTTPS_PROXY": f"http://{login}",
    }
    return environ, {laptop.folder / name for name in files}


def test_no_planted_secret_is_in_any_sink_of_a_run_or_of_a_look_at_it(laptop: Laptop) -> None:
    laptop.quick(tell="HF_TOKEN")
    environ, sources = _planted(laptop)
    secrets = ("--secret", "HF_TOKEN", "--secret", "PASSPHRASE")
    with _all_arguments() as arguments:
        said = laptop.launched("--provider", "aws", *secrets, **environ)
        assert said.code == 0, said.err
        looks = [
            laptop.run(*words, **environ)
            for words in (
                ("offers", "-v"),
                ("doctor", "--json"),
                ("show", "--json"),
                ("logs",),
                ("report", "--json"),
            )
        ]
    looks.append(laptop.run("estimate", "--job", str(laptop.job), **environ | {"HF_ENDPOINT": environ["HTTPS_PROXY"]}))
    assert any("127.0.0.1:9" in one.out + one.err for one in looks), "no address with a login was ever told"
    assert [one for one in arguments if holding(one)] == []
    for one in (said, *looks):
        assert holding(one.out + one.err) == ()
    machine = laptop.machine()
    assert holding(machine.user_data) == ()
    assert holding(json.dumps(laptop.cloud.call("state"))) == (), "names, tags, and what the cloud was asked"
    assert holding_below(machine.root) == ()
    found = holding_below(laptop.folder)
    assert {one for one in found if not any(one.startswith(f"{source}:") for source in sources)} == set()
    assert len(found) >= len(sources), "what was planted is found where it was planted"


def test_the_keys_of_a_run_are_gone_with_its_machine(laptop: Laptop) -> None:
    said = laptop.launched()
    assert said.code == 0, said.err
    private = re.compile(rb"-----BEGIN (?:OPENSSH )?PRIVATE KEY-----")
    assert [path for path in laptop.home.rglob("*") if path.is_file() and private.search(path.read_bytes())] == []


def test_a_secret_in_the_data_is_refused_before_anything_is_rented(laptop: Laptop) -> None:
    rows = laptop.job / "train.jsonl"
    rows.write_text(rows.read_text().replace("parcel 3", TOKEN))
    said = laptop.launched("--secret", "HF_TOKEN", HF_TOKEN=TOKEN)
    assert said.code == 2, said.err
    assert "train.jsonl" in said.last["message"]
    assert holding(said.out + said.err) == ()
    assert laptop.cloud.machines() == ()

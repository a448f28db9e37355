"""The bundle: the same bytes each time, only what is allowed, and no secret."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from jobs import package, spec
from jobs.package import Bundle, PackageError

QUICK = Path(__file__).parent / "quick"
ROW = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
Pack = Callable[..., Bundle]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder with a launch.yaml and what must not be shipped beside it."""
    folder = tmp_path / "job"
    (folder / "data").mkdir(parents=True)
    for part in ("train", "test"):
        (folder / "data" / f"{part}.jsonl").write_text(ROW)
    (folder / "launch.yaml").write_text("name: a\nmodel: o/m\ndata: {train: data/train.jsonl, test: data/test.jsonl}\n")
    (folder / ".env").write_text("HF_TOKEN=hf_" + "a" * 34)
    return folder


@pytest.fixture
def pack(job: Path, tmp_path: Path) -> Pack:
    def made(environ: Mapping[str, str] | None = None, job_folder: Path = QUICK, **changes: Any) -> Bundle:
        order = package.Order(**{"run_id": "brave-otter-7f3a", "attempt": 1, "secrets": (), "notice": "", **changes})
        return package.pack(spec.load(job), order, into=tmp_path, job_folder=job_folder, environ=environ or {})

    return made


def contents(bundle: Bundle) -> dict[str, bytes]:
    with tarfile.open(bundle.path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]  # all are files


def test_a_bundle_holds_the_job_the_data_and_job_json_and_nothing_else(pack: Pack) -> None:
    bundle = pack(secrets=["HF_TOKEN", "A"], notice="imds", attempt=2)
    found = contents(bundle)
    names = ["data/test.jsonl", "data/train.jsonl", "job.json", "job/README.md", "job/quick.py", "job/steps.json"]
    assert sorted(found) == names
    assert bundle.files == tuple(names)
    assert found["data/train.jsonl"] == ROW.encode()
    job = json.loads(found["job.json"])
    assert (job["run_id"], job["attempt"], job["notice"]) == ("brave-otter-7f3a", 2, "imds")
    assert job["secrets"] == ["A", "HF_TOKEN"]
    assert job["settings"] == bundle.settings
    assert job["seeds"] == {"seed": 17}
    assert job["steps"] == json.loads((QUICK / "steps.json").read_text())
    assert job["sha256"]["data/train.jsonl"] == hashlib.sha256(ROW.encode()).hexdigest()
    assert (job["grace_seconds"], job["save_seconds"]) == (package.GRACE_SECONDS, package.SAVE_SECONDS)


def test_a_bundle_says_its_own_hash_and_size(pack: Pack) -> None:
    bundle = pack()
    raw = bundle.path.read_bytes()
    assert bundle.sha256 == hashlib.sha256(raw).hexdigest()
    assert bundle.bytes == len(raw)


PACK_ELSEWHERE = """
import sys
from pathlib import Path
from jobs import package, spec
job, into, quick = map(Path, sys.argv[1:])
order = package.Order(run_id="r", attempt=1, secrets=["B", "A"], notice="")
bundle = package.pack(spec.load(job), order, into=into, job_folder=quick)
print(bundle.sha256)
"""


def test_two_processes_pack_the_same_bytes_whoever_and_whenever(job: Path, tmp_path: Path) -> None:
    found = set()
    for seed, umask, when in (("1", 0o022, 1_700_000_000), ("2", 0o077, 1_800_000_000)):
        into = tmp_path / seed
        into.mkdir()
        os.utime(job / "data" / "train.jsonl", (when, when))
        (job / "data" / "train.jsonl").chmod(0o666 & ~umask)
        argv = [sys.executable, "-c", PACK_ELSEWHERE, str(job), str(into), str(QUICK)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(package.__file__).parents[1])}
        done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60, env=environment)
        found.add(done.stdout)
    assert len(found) == 1


def test_members_have_no_owner_and_no_time(pack: Pack) -> None:
    with tarfile.open(pack().path) as tar:
        for member in tar:
            assert (member.uid, member.gid, member.uname, member.mtime, member.mode) == (0, 0, "", 0, 0o644)
            assert member.isreg()


def test_a_local_base_model_is_shipped_without_pickles(job: Path, pack: Pack) -> None:
    base = job / "base"
    base.mkdir()
    shipped = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer.model", "chat.jinja", "merges.txt"]
    for name in [*shipped, "pytorch_model.bin", "training_args.bin", "optimizer.pt", "run.py", ".env"]:
        (base / name).write_text("{}")
    text = (job / "launch.yaml").read_text()
    (job / "launch.yaml").write_text(text.replace("o/m", "./base"))
    assert sorted(name for name in pack().files if name.startswith("base/")) == sorted(f"base/{n}" for n in shipped)


SECRETS = {
    "hf": "hf_" + "aB3" * 12,
    "aws": "AKIA" + "ABCDEFGH12345678",
    "key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "github": "ghp_" + "a1" * 18,
    "runpod": "rpa_" + "A1B2C3D4" * 5,
    "api": "sk-proj-" + "abcd1234" * 5,
    "planted": "my own passphrase",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
@pytest.mark.parametrize("place", ["data/train.jsonl", "job/steps.md"])
def test_a_secret_in_a_file_is_not_shipped_and_its_line_is_told(
    job: Path, pack: Pack, tmp_path: Path, secret: str, place: str
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "steps.json").write_bytes((QUICK / "steps.json").read_bytes())
    path = own / "steps.md" if place.startswith("job/") else job / place
    path.write_text(ROW + ROW.replace("b", f"it is {secret}."))
    with pytest.raises(PackageError) as refused:
        pack(secrets=["PASS"], environ={"PASS": "my own passphrase"}, job_folder=own)
    assert f"{path}, line 2" in refused.value.message
    assert secret not in refused.value.message
    assert not (tmp_path / "bundle.tar.gz").exists()


def test_words_that_only_resemble_a_secret_are_shipped(job: Path, pack: Pack) -> None:
    harmless = "hf_hub_download AKIA sk-learn -----BEGIN CERTIFICATE----- short"
    (job / "data" / "train.jsonl").write_text(ROW.replace("b", harmless))
    assert pack(secrets=["S"], environ={"S": "short"}).bytes


@pytest.mark.parametrize("name", [".env", "id_ed25519", "my.pem", ".env.local", "credentials"])
def test_a_file_of_secrets_is_not_taken_for_data(job: Path, pack: Pack, name: str) -> None:
    (job / name).write_text(ROW)
    (job / "launch.yaml").write_text(f"name: a\nmodel: o/m\ndata: {{train: {name}}}\n")
    with pytest.raises(PackageError, match="file of secrets"):
        pack()


def test_what_is_too_large_is_refused_with_the_largest_file(job: Path, pack: Pack) -> None:
    with (job / "data" / "train.jsonl").open("ab") as file:
        file.truncate(package.MOST_BYTES + 1)  # a hole: it takes no room here
    with pytest.raises(PackageError, match=r"20\.0 GiB, at most 20 GiB.*train\.jsonl"):
        pack()


@pytest.mark.parametrize(
    "steps", [None, "{", "{}", "[]", '[{"name": "a"}]', '[{"name": "a", "phase": "b", "argv": []}]']
)
def test_a_job_folder_without_sound_steps_is_refused(pack: Pack, tmp_path: Path, steps: str | None) -> None:
    own = tmp_path / "own"
    own.mkdir()
    if steps is not None:
        (own / "steps.json").write_text(steps)
    with pytest.raises(PackageError, match=r"steps\.json"):
        pack(job_folder=own)


def test_the_guest_is_the_same_bytes_each_time_and_runs() -> None:
    raw = package.guest_zipapp()
    again = subprocess.run(
        [sys.executable, "-c", "import sys; from jobs import package; sys.stdout.buffer.write(package.guest_zipapp())"],
        check=True,
        capture_output=True,
        timeout=60,
        cwd=Path(package.__file__).parents[1],
    ).stdout
    assert raw == again
    with zipfile.ZipFile(BytesIO(raw)) as archive:
        assert archive.testzip() is None
        assert {"__main__.py", "guest/verbs.py", "guest/supervise.py"} <= set(archive.namelist())


def test_asking_for_the_dead_man_loads_no_pydantic() -> None:
    check = "import sys; from jobs import package, progress; package.deadman(); assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60, cwd=Path(package.__file__).parents[1])

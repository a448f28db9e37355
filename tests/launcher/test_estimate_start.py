"""An estimate without an account: from a cold start, alone on a computer, with little loaded and nothing waited for.

The first look at new rows makes them into parts, with what that takes; it asks nobody either. All later ones are quick.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"boto3", "botocore", "httpx", "rich", "numpy", "matplotlib", "torch", "transformers", "tomllib", "ssl"}
JOB = ("--job", "examples/support-json")
WITHOUT_NETWORK = """
import socket, sys
def nobody(*_, **__):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = nobody
socket.getaddrinfo = socket.create_connection = nobody
from launcher.cli import main
code = main(sys.argv[1:])
sys.stderr.write("\\nloaded " + " ".join(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(code)
"""


def alone(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in which any attempt to reach the network is an error."""
    (home / "config.yaml").write_text("default_providers: [aws, lambda, runpod]\n")
    environ = {
        "HOME": str(home), "LAUNCH_HOME": str(home / "launch"), "LAUNCH_CONFIG": str(home / "config.yaml"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    argv = (sys.executable, "-c", WITHOUT_NETWORK, "estimate", *JOB, *words)
    return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an estimate was made before."""
    folder = tmp_path_factory.mktemp("home")
    first = alone(folder)
    assert first.returncode == 0, first.stderr
    return folder


@pytest.mark.parametrize("words", [(), ("--budget", "5", "-v"), ("--budget", "5", "--json")])
def test_without_an_account_nothing_heavy_is_loaded_and_the_network_is_left_alone(
    home: Path, words: tuple[str, ...]
) -> None:
    done = alone(home, *words)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.rpartition("loaded ")[2].split())
    assert "launcher" in loaded
    assert not HEAVY & loaded
    assert "g5.xlarge" in done.stdout

"""Providers are found by their files, and cost nothing at start-up."""

import subprocess
import sys
from pathlib import Path

import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

from providers import registry
from providers.base import NotSetUp
from tests.providers.samples import surroundings

HEAVY = ("boto3", "botocore", "httpx", "moto", "pandas", "pydantic", "runpod", "torch")


def test_the_files_that_define_connect_are_the_providers() -> None:
    assert registry.names() == ("aws", "lambda", "local", "runpod")


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotSetUp) as caught:
        registry.connect("awz", surroundings(tmp_path))
    assert "did you mean aws?" in caught.value.fix


def test_every_provider_connects_and_tells_its_traits(tmp_path: Path) -> None:
    for name in registry.names():
        provider = registry.connect(name, surroundings(tmp_path))
        assert (provider.name, provider.traits) == (name, registry.traits(name))


def test_connecting_imports_no_sdk() -> None:
    code = f"""
import sys, tempfile, pathlib, datetime
from providers import registry
from providers.base import Surroundings
around = Surroundings(environ={{}}, state_dir=pathlib.Path("/nowhere"), owner_id="me", now=datetime.datetime.now)
for name in registry.names():
    registry.traits(name)
    registry.connect(name, around)
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_places_of_the_providers_hold_no_secret_and_are_what_is_read() -> None:
    places = registry.places()
    assert [name for name in places if name.endswith(("_KEY", "_KEY_ID", "_SECRET", "_TOKEN", "_PASSWORD"))] == []
    read = "\n".join(path.read_text("utf-8") for path in Path(registry.__file__).parent.glob("*.py"))
    ours = {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "LAMBDA_API_BASE_URL", "RUNPOD_API_BASE_URL"}
    assert [name for name in ours if f'environ.get("{name}")' not in read or name not in places] == []
    theirs = str(BOTOCORE_DEFAUT_SESSION_VARIABLES)
    found = ("AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_DEFAULT_PROFILE", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE")
    assert [name for name in found if f"'{name}'" not in theirs or name not in places] == []

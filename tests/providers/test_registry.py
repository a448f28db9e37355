"""Providers are found by their files, and cost nothing at start-up."""

import subprocess
import sys
from pathlib import Path

import pytest

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

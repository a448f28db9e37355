"""A provider's own part of config.yaml: every key checked, every mistake named with what would be right."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from providers import lambda_settings, registry, runpod_settings, settings
from providers.base import NotSetUp
from tests.providers.samples import surroundings

Reads = Callable[[Mapping[str, object]], object]
LAMBDA: dict[str, object] = {
    "regions": ["us-east-1"],
    "image_family": "gpu-base-24-04",
    "deadman": "api-key",
    "seconds_between_requests": 2,
    "seconds_between_launches": 30.5,
    "ssh_port": 2222,
}
RUNPOD: dict[str, object] = {
    "regions": ["US-KS-2", "EU-RO-1"],
    "image": "runpod/pytorch:newer",
    "min_cuda": "13.0",
    "profile": "work",
    "seconds_between_requests": 0,
}


def refused(reads: Reads, raw: Mapping[str, object]) -> NotSetUp:
    with pytest.raises(NotSetUp) as caught:
        reads(raw)
    assert caught.value.code == "settings"
    assert "config.yaml" in caught.value.fix
    return caught.value


def test_every_setting_of_lambda_is_read() -> None:
    found = lambda_settings.read(LAMBDA)
    assert vars(found) == {**LAMBDA, "regions": ("us-east-1",), "seconds_between_requests": 2.0}


def test_every_setting_of_runpod_is_read() -> None:
    found = runpod_settings.read(RUNPOD)
    assert vars(found) == {**RUNPOD, "regions": ("US-KS-2", "EU-RO-1"), "seconds_between_requests": 0.0}


def test_every_field_can_be_set() -> None:
    assert set(lambda_settings.READERS) == set(lambda_settings.LambdaSettings.__dataclass_fields__)
    assert set(runpod_settings.READERS) == set(runpod_settings.RunpodSettings.__dataclass_fields__)


def test_nothing_set_keeps_to_the_published_limits() -> None:
    found = lambda_settings.read({})
    assert (found.seconds_between_requests, found.seconds_between_launches) > (1.0, 12.0)
    assert found.seconds_between_launches > 12.0
    assert runpod_settings.read({}).seconds_between_requests >= 1.0
    assert found.deadman == "none"


@pytest.mark.parametrize("name", ["lambda", "runpod"])
def test_connecting_with_an_unknown_key_names_the_nearest(name: str, tmp_path: Path) -> None:
    def connect(raw: Mapping[str, object]) -> object:
        return registry.connect(name, surroundings(tmp_path, settings=raw))

    error = refused(connect, {"region": ["us-east-1"]})
    assert error.text == f"providers.{name}.region is no setting; did you mean regions"


def test_a_key_that_resembles_none_is_answered_with_all_there_are() -> None:
    error = refused(lambda_settings.read, {"zzz": 1})
    assert error.text.endswith(f"there are {', '.join(lambda_settings.READERS)}")


@pytest.mark.parametrize(
    ("reads", "raw", "expected"),
    [
        (lambda_settings.read, {"regions": "us-east-1"}, "must be a list of names"),
        (lambda_settings.read, {"regions": []}, "must be a list of names"),
        (lambda_settings.read, {"regions": [1]}, "must be a text"),
        (lambda_settings.read, {"image_family": ""}, "must be a text"),
        (lambda_settings.read, {"deadman": "yes"}, "must be one of none, api-key"),
        (lambda_settings.read, {"deadman": None}, "must be one of none, api-key"),
        (lambda_settings.read, {"ssh_port": "22"}, "must be a port number"),
        (lambda_settings.read, {"ssh_port": 0}, "must be a port number"),
        (lambda_settings.read, {"ssh_port": 65536}, "must be a port number"),
        (lambda_settings.read, {"ssh_port": True}, "must be a port number"),
        (lambda_settings.read, {"seconds_between_requests": -1}, "must be a number of seconds from 0 to 60"),
        (lambda_settings.read, {"seconds_between_requests": 61}, "must be a number of seconds from 0 to 60"),
        (lambda_settings.read, {"seconds_between_launches": float("nan")}, "must be a number of seconds"),
        (lambda_settings.read, {"seconds_between_launches": True}, "must be a number of seconds"),
        (runpod_settings.read, {"min_cuda": 12.8}, "must be a version such as"),
        (runpod_settings.read, {"profile": None}, "must be a text"),
        (runpod_settings.read, {"image": ["a"]}, "must be a text"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_key(
    reads: Reads, raw: Mapping[str, object], expected: str
) -> None:
    (key,) = raw
    error = refused(reads, raw)
    assert f".{key} {expected}" in error.text


def test_a_cuda_version_that_the_service_would_refuse_is_refused_here() -> None:
    refused(runpod_settings.read, {"min_cuda": "twelve"})


def test_a_flag_is_true_or_false() -> None:
    assert [settings.flag("k", value) for value in (True, False)] == [True, False]
    refused(lambda raw: settings.flag("k", raw["k"]), {"k": 1})


def test_a_mapping_of_names_is_one_of_texts() -> None:
    assert settings.names_to_texts("k", {"us-east-2a": "subnet-1"}) == {"us-east-2a": "subnet-1"}
    refused(lambda raw: settings.names_to_texts("k", raw["k"]), {"k": ["us-east-2a"]})


@pytest.mark.parametrize(("network", "read"), [("203.0.113.7", "203.0.113.7/32"), ("203.0.113.7/24", "203.0.113.0/24")])
def test_a_network_is_read_as_the_one_that_it_lies_in(network: str, read: str) -> None:
    assert settings.cidr("k", network) == read


@pytest.mark.parametrize("network", ["0.0.0.0/0", "203.0.113.0/23", "2001:db8::/64", "here", 7, ""])
def test_a_network_that_is_none_or_wider_than_an_office_is_refused(network: object) -> None:
    refused(lambda raw: settings.cidr("k", raw["k"]), {"k": network})

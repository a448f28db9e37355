"""The settings file: what it may say, and how a mistake in it is told."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from launcher.config import Config, config_path, home, load_config
from launcher.errors import Exit, LaunchError
from pricing import gpus
from pricing.own_hardware import Hardware


def written(folder: Path, text: str) -> dict[str, str]:
    path = folder / "config.yaml"
    path.write_text(text)
    return {"LAUNCH_CONFIG": str(path)}


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_config({}) == Config()
    assert config_path({}).name == "config.yaml"


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    config = load_config(
        written(
            tmp_path,
            "tax: {default: 0.19, one: 0}\n"
            "default_providers: [one]\nregions: {one: [here, there]}\nproviders: {one: {ssh_port: 2222}}\n",
        )
    )
    assert (config.tax_for("one"), config.tax_for("two")) == (Decimal(0), Decimal("0.19"))
    assert (config.default_providers, config.regions["one"]) == (("one",), ("here", "there"))
    assert config.providers["one"]["ssh_port"] == 2222


def test_a_card_of_ones_own_and_what_electricity_costs_are_read(tmp_path: Path) -> None:
    text = "electricity_usd_per_kwh: 0.32\nhardware: {name: rtx 4090, price_usd: 1800}\n"
    config = load_config(written(tmp_path, text))
    assert config.electricity_usd_per_kwh == Decimal("0.32")
    assert config.hardware == Hardware(gpu=gpus.by_name("RTX4090"), price_usd=Decimal(1800))
    alone = load_config(written(tmp_path, "hardware: {name: a100-80gb, watts: 520}\n")).hardware
    assert alone == Hardware(gpu=gpus.by_name("A100-80"), watts=520.0)


def test_private_makes_it_the_rule_for_every_job(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "private: true\n")).private
    assert not load_config(written(tmp_path, "private: false\n")).private
    assert not Config().private


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "# nothing yet\n")) == Config()


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("tax: {default: 0.19}\nexposure_cap: 3\n", 2, "unknown key `exposure_cap`"),
        ("tax:\n  one: 19\n", 2, "must be below 1"),
        ("tax:\n  one: much\n", 2, "must be a number"),
        ("tax: {one: -0.1}\n", 1, "at least 0"),
        ("tax: {one: .inf}\n", 1, "at least 0"),
        ("tax: {one: true}\n", 1, "must be a number"),
        ("tax: 3\n", 1, "must be a mapping"),
        ("\nregions: {one: here}\n", 2, "must be a list of names"),
        ("providers: {one: 3}\n", 1, "must be a mapping"),
        ("\nelectricity_usd_per_kwh: much\n", 2, "must be a number"),
        ("hardware: rtx4090\n", 1, "must be a mapping"),
        ("hardware: {price_usd: 1800}\n", 1, "must be one card"),
        ("hardware: {name: a100}\n", 1, "must be one card"),
        ("hardware: {name: rtx4190}\n", 1, "must be one card"),
        ("hardware:\n  name: rtx4090\n  price: 1800\n", 3, "unknown key `hardware.price`"),
        ("hardware:\n  name: rtx4090\n  price_usd: -1\n", 3, "at least 0"),
        ("hardware:\n  name: rtx4090\n  watts: 0\n", 3, "above 0"),
        ("notify: [x]\n", 1, "not supported by this version"),
        ("private: 1\n", 1, "must be true or false"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("tax: {}\ntax: {}\n", 2, "duplicate key"),
    ],
)
def test_a_mistake_names_file_line_and_what_was_expected(tmp_path: Path, text: str, line: int, part: str) -> None:
    with pytest.raises(LaunchError) as caught:
        load_config(written(tmp_path, text))
    assert f"config.yaml:{line}: " in caught.value.message
    assert part in caught.value.message
    assert (caught.value.exit_code, caught.value.code) == (Exit.USAGE, "config")
    assert caught.value.hint


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as caught:
        load_config(written(tmp_path, "default_provider: [one]\n"))
    assert caught.value.hint == "did you mean `default_providers`?"


def test_a_list_instead_of_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="mapping"):
        load_config(written(tmp_path, "- 1\n"))


def test_a_file_that_was_named_and_is_missing_is_no_default(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="does not exist"):
        load_config({"LAUNCH_CONFIG": str(tmp_path / "none.yaml")})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LaunchError, match="cannot be read"):
        load_config({"LAUNCH_CONFIG": str(path)})


def test_our_state_lies_where_launch_home_says(tmp_path: Path) -> None:
    assert home({"LAUNCH_HOME": str(tmp_path)}) == tmp_path
    assert home({}).name == "launch"


def test_a_durable_store_is_a_bucket_and_where_it_is(tmp_path: Path) -> None:
    text = "durable_store: {bucket: mine, prefix: /launch/, endpoint_url: 'https://s.example', keep: true}\n"
    store = load_config(written(tmp_path, text)).durable_store
    assert store is not None
    assert (store.bucket, store.prefix, store.endpoint_url, store.keep) == (
        "mine",
        "launch/",
        "https://s.example",
        True,
    )
    assert store.wait_seconds == 120


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("durable_store: {prefix: x}\n", "needs a bucket"),
        ("durable_store: {bucket: mine, secret_key: x}\n", "unknown key `durable_store.secret_key`"),
        ("durable_store: {bucket: mine, endpoint_url: s.example}\n", "must be an address"),
        ("durable_store: {bucket: mine, keep: often}\n", "must be true or false"),
        ("durable_store: {bucket: 7}\n", "must be a text"),
        ("durable_store: {bucket: mine, wait_seconds: -1}\n", "from 0 to 86400"),
    ],
)
def test_what_is_no_durable_store_is_told_with_its_line(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(LaunchError, match=re.escape(part)):
        load_config(written(tmp_path, text))

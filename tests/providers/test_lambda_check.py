"""What doctor is told of Lambda: the key, the clock, what the interface says today, and what guards a machine."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.base import Finding, Level
from tests.cloud.client import LAMBDA_KEY
from tests.cloud.lambda_life import A10
from tests.providers.hand_clouds import HandClouds
from tests.providers.plain_server import PlainServer, closed_port, document
from tests.providers.samples import lambda_offer, request

Environ = dict[str, str]


def findings(clouds: HandClouds, folder: Path, environ: Environ | None = None, **around: Any) -> dict[str, Finding]:
    """By subject; each subject once."""
    found = clouds.lambda_at(folder, environ, **around).check()
    assert len({one.subject for one in found}) == len(found)
    return {one.subject: one for one in found}


def test_all_is_well_but_for_what_nobody_guards(clouds: HandClouds, tmp_path: Path) -> None:
    found = findings(clouds, tmp_path)
    assert list(found) == ["credentials", "clock", "interface", "prices", "pace", "tax", "guard"]
    assert {name for name, one in found.items() if one.level is not Level.OK} == {"guard"}


def test_the_key_is_told_by_its_name_and_never_itself(clouds: HandClouds, tmp_path: Path) -> None:
    told = findings(clouds, tmp_path)
    assert told["credentials"].text == f"the key tests is accepted at {clouds.urls['lambda']}/api/v1"
    secret = LAMBDA_KEY.removeprefix("secret_tests_")
    assert secret not in repr(told)


def test_a_key_that_is_not_accepted_is_an_error_with_where_to_make_one(clouds: HandClouds, tmp_path: Path) -> None:
    found = findings(clouds, tmp_path, clouds.lambda_environ(LAMBDA_API_KEY="secret_other_0123"))
    assert list(found) == ["credentials", "guard"]
    assert found["credentials"].level is Level.ERROR
    assert "cloud.lambda.ai/api-keys" in found["credentials"].fix
    assert "secret_other_0123" not in repr(found)


def test_no_key_means_that_lambda_is_not_used_and_not_asked(clouds: HandClouds, tmp_path: Path) -> None:
    (found,) = clouds.lambda_at(tmp_path, {"LAMBDA_API_BASE_URL": clouds.urls["lambda"]}).check()
    assert (found.level, found.subject) == (Level.UNUSED, "credentials")
    assert "LAMBDA_API_KEY" in found.fix
    assert clouds.calls("lambda.*") == []


def test_an_account_that_is_not_active_is_told_as_that(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.fault("lambda.list", "before", code="global/account-inactive", message="inactive", status=403)
    found = findings(clouds, tmp_path)["credentials"]
    assert (found.level, found.text) == (Level.ERROR, "inactive")
    assert "payment" in found.fix


def test_nobody_at_the_address_is_a_matter_of_the_network(clouds: HandClouds, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    found = findings(clouds, tmp_path, clouds.lambda_environ(LAMBDA_API_BASE_URL=address))
    assert list(found) == ["reachability", "guard"]
    assert address in found["reachability"].text


@pytest.mark.parametrize("when", ["before", "html", "empty", "reset"])
def test_no_usable_answer_is_a_matter_of_the_network_too(clouds: HandClouds, tmp_path: Path, when: str) -> None:
    clouds.fault("lambda.types", when)
    assert findings(clouds, tmp_path)["reachability"].level is Level.ERROR


def test_an_address_that_is_none_is_told_and_raises_nothing(clouds: HandClouds, tmp_path: Path) -> None:
    found = findings(clouds, tmp_path, clouds.lambda_environ(LAMBDA_API_BASE_URL="nonsense"))
    assert "nonsense is no address" in found["credentials"].text


def test_a_status_that_launch_does_not_know_is_drift(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.lambda_at(tmp_path).create(request(lambda_offer()))
    clouds.world.set_knobs("lambda", {"odd_status": "rebuilding"})
    found = findings(clouds, tmp_path)["interface"]
    assert (found.level, found.text) == (Level.WARNING, "not understood: a machine's status 'rebuilding'")


def test_new_fields_are_no_drift(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.lambda_at(tmp_path).create(request(lambda_offer()))
    clouds.world.set_knobs("lambda", {"more_fields": True})
    assert findings(clouds, tmp_path)["interface"].level is Level.OK


def test_a_type_without_a_price_is_drift_and_the_others_are_counted(
    clouds: HandClouds, server: PlainServer, tmp_path: Path
) -> None:
    kind = {
        "name": "gpu_1x_a10",
        "gpu_description": "A10 (24 GB PCIe)",
        "specs": {"vcpus": 30, "memory_gib": 200, "gpus": 1},
    }
    priced = {"instance_type": {**kind, "price_cents_per_hour": 129}, "regions_with_capacity_available": []}
    types = {"a": {**priced, "instance_type": kind}, "b": priced}
    server.script = lambda heard: document({"data": types if heard.path == "/instance-types" else []})
    found = findings(clouds, tmp_path, clouds.lambda_environ(LAMBDA_API_BASE_URL=server.url))
    assert found["interface"].text == "not understood: gpu_1x_a10 has no price"
    assert found["prices"].text.startswith("1 offers ")


def test_a_card_that_launch_does_not_know_is_drift(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.lambda_life.scenario.types["gpu_1x_z9"] = replace(A10, name="gpu_1x_z9", gpu="Z9 (512 GB)")
    assert "Z9" in findings(clouds, tmp_path)["interface"].text


@pytest.mark.parametrize("answer", [{"data": {}}, {"data": None}, {"things": []}, []])
def test_machines_that_are_no_list_are_told_as_an_interface_that_changed(
    clouds: HandClouds, server: PlainServer, tmp_path: Path, answer: object
) -> None:
    server.says(document(answer))
    found = findings(clouds, tmp_path, clouds.lambda_environ(LAMBDA_API_BASE_URL=server.url))
    assert {one.level for name, one in found.items() if name != "guard"} == {Level.ERROR}


@pytest.mark.parametrize(("seconds", "level"), [(0, Level.OK), (-400, Level.WARNING), (400, Level.WARNING)])
def test_a_clock_that_differs_from_lambdas_is_told(
    clouds: HandClouds, tmp_path: Path, seconds: int, level: Level
) -> None:
    clouds.world.set_knobs("lambda", {"clock_skew_seconds": seconds})
    assert findings(clouds, tmp_path)["clock"].level is level


def test_whose_clock_is_wrong_does_not_matter(clouds: HandClouds, tmp_path: Path) -> None:
    found = findings(clouds, tmp_path, now=lambda: clouds.world.clock.now() - timedelta(hours=1))
    assert found["clock"].text in {f"differs by {seconds} s from Lambda's" for seconds in (3599, 3600)}


def test_what_guards_a_machine_is_a_warning_until_a_key_does(clouds: HandClouds, tmp_path: Path) -> None:
    found = findings(clouds, tmp_path)["guard"]
    assert found.level is Level.WARNING
    assert "launch reap --elsewhere" in found.fix


def test_a_guard_that_was_chosen_and_has_no_key_is_an_error(clouds: HandClouds, tmp_path: Path) -> None:
    found = findings(clouds, tmp_path, settings={"deadman": "api-key"})["guard"]
    assert found.level is Level.ERROR
    assert "LAMBDA_DEADMAN_API_KEY is not set" in found.text


def test_a_guard_with_its_key_is_well(clouds: HandClouds, tmp_path: Path) -> None:
    environ = clouds.lambda_environ(LAMBDA_DEADMAN_API_KEY="secret_canary")
    found = findings(clouds, tmp_path, environ, settings={"deadman": "api-key"})
    assert found["guard"].level is Level.OK
    assert "canary" not in repr(found)


def test_looking_creates_and_changes_nothing(clouds: HandClouds, tmp_path: Path) -> None:
    findings(clouds, tmp_path)
    assert {one.method for one in clouds.calls("lambda.*")} == {"GET"}


def test_tax_is_named_as_what_the_prices_do_not_hold(clouds: HandClouds, tmp_path: Path) -> None:
    assert "tax.lambda" in findings(clouds, tmp_path)["tax"].text

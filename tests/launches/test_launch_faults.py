"""A cloud that answers badly: lost create answers, refusals, terminates that do nothing, connections that break."""

import pytest

from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud

AFTER = {
    "an error": {"when": "after"},
    "a broken line": {"when": "reset", "applied": True},
    "a proxy's page": {"when": "html", "applied": True},
    "nothing": {"when": "empty", "applied": True},
}


@pytest.mark.parametrize("fault", AFTER.values(), ids=AFTER.keys())
def test_a_create_call_that_was_carried_out_and_answered_badly_leads_to_one_machine_that_is_used(
    laptop: Laptop, fault: dict[str, object]
) -> None:
    laptop.cloud.call("fault", operation="RunInstances", times=1, **fault)
    said = laptop.launched()
    assert said.code == 0, said.err
    assert laptop.cloud.fired() == 1
    assert any(event.get("code") == "create-unclear" for event in said.events)
    assert len(laptop.cloud.machines()) == 1
    laptop.all_quiet()


def test_a_create_call_that_was_not_carried_out_is_made_again_with_the_same_token(laptop: Laptop) -> None:
    laptop.cloud.fault("RunInstances", "reset")
    said = laptop.launched()
    assert said.code == 0, said.err
    calls = laptop.cloud.call("calls", operation="RunInstances")
    assert len({call["ClientToken"] for call in calls}) == 1
    assert len(laptop.cloud.machines()) == 1
    laptop.all_quiet()


def test_a_pool_without_machines_is_followed_by_the_next_best(laptop: Laptop) -> None:
    laptop.cloud.capacity("us-east-1b/g5.xlarge/spot", 0)
    said = laptop.launched()
    assert said.code == 0, said.err
    (refused,) = [event for event in said.events if event["event"] == "refused"]
    assert (refused["code"], refused["offer"]["zone"]) == ("no-capacity", "us-east-1b")
    assert laptop.machine().zone == "us-east-2b"
    laptop.all_quiet()


def test_a_terminate_that_is_answered_well_and_does_nothing_is_asked_for_until_the_cloud_agrees(laptop: Laptop) -> None:
    laptop.hurry(4)
    laptop.cloud.knobs(terminate_ignored=3)
    said = laptop.launched()
    assert said.code == 0, said.err
    assert len(laptop.cloud.call("calls", operation="TerminateInstances")) >= 4
    assert said.last["terminated"]["looks"] == 3
    laptop.all_quiet()


def test_a_listing_that_leaves_everything_out_is_not_believed(laptop: Laptop) -> None:
    typed = laptop.launch()
    typed.until_state("PULLING")
    laptop.cloud.knobs(list_gap=2)
    said = typed.ended()
    assert said.code == 0, said.err
    laptop.all_quiet()


def test_connections_that_break_cost_nothing_but_time(laptop: Laptop) -> None:
    laptop.quick(steps=12, seconds=0.25)
    typed = laptop.launch()
    typed.until(lambda event: event["event"] == "progress" and event["step"] > 0)
    laptop.cloud.drop()
    said = typed.ended()
    assert said.code == 0, said.err
    assert said.last["results"]["verified"]
    laptop.all_quiet()


def test_a_machine_that_never_lets_anybody_in_is_not_trusted_with_the_job(laptop: Laptop) -> None:
    laptop.cloud.knobs(wrong_host_key=True)
    said = laptop.launched()
    assert said.code == 1, said.err
    assert "somebody else answers" in said.last["why"]
    assert len(laptop.cloud.machines()) == 1
    laptop.all_quiet()


def test_a_machine_without_its_gpu_goes_back_and_another_is_tried(laptop: Laptop) -> None:
    laptop.cloud.knobs(gpu="none")
    typed = laptop.launch()
    typed.until(lambda event: event.get("code") == "not-as-rented")
    laptop.cloud.knobs(gpu="ok")
    said = typed.ended()
    assert said.code == 0, said.err
    assert said.last["attempts"] >= 2
    laptop.all_quiet()

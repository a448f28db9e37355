"""Kill -9 of the real process, then what a person does next; the meter is the judge.

Deaths at any other moment, and many of them in one run: tests/soak_kill.
"""

import pytest

from launcher.run import State
from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud

SLOW_STEPS = {"steps": 12, "seconds": 0.25}


def test_reap_takes_a_run_back_that_was_killed_at_work_and_it_finishes(laptop: Laptop) -> None:
    laptop.quick(**SLOW_STEPS)
    typed = laptop.launch()
    started = typed.until_state("RUNNING")
    typed.kill()
    reaped = laptop.run("reap", "--json").last
    assert reaped["taken_back"] == [started["run"]]
    assert reaped["ended"] == []
    record = laptop.until_terminated()
    assert str(record.outcome) == "succeeded"
    assert (record.out_dir / "adapter" / "adapter_model.safetensors").is_file()
    laptop.all_quiet()


def test_a_kill_while_the_create_call_is_open_leaves_an_intent_whose_machine_reap_ends(laptop: Laptop) -> None:
    laptop.cloud.fault("RunInstances", "hang", applied=True)
    typed = laptop.launch()
    laptop.cloud.wait_for(laptop.cloud.fired)
    typed.kill()
    assert laptop.record().open_intents == 1
    assert len(laptop.cloud.machines()) == 1
    assert laptop.run("reap", "--json").code == 0
    laptop.all_quiet()


def test_an_intent_without_a_machine_stays_open_until_the_settle_window_is_over(laptop: Laptop) -> None:
    # The two minutes themselves are lived through on a virtual clock, in tests/launcher/test_kills.py.
    laptop.cloud.fault("RunInstances", "hang")
    typed = laptop.launch()
    laptop.cloud.wait_for(laptop.cloud.fired)
    typed.kill()
    said = laptop.run("offers", "--gpu", "a10g")
    assert "not yet certain whether a machine was created" in said.err.replace("\n", " ").replace("  ", " ")
    assert laptop.record().open_intents == 1
    assert laptop.cloud.machines() == ()


def test_ps_tells_an_open_create_call_as_maybe_running(laptop: Laptop) -> None:
    laptop.cloud.fault("RunInstances", "hang", applied=True)
    typed = laptop.launch()
    laptop.cloud.wait_for(laptop.cloud.fired)
    typed.kill()
    (run,) = laptop.run("ps", "--json").last["runs"]
    assert run["open_intents"] == 1
    assert run["maybe_usd_per_hour"] is not None


@pytest.mark.parametrize("command", [("offers", "--gpu", "a10g"), ("estimate", "--gpu", "a10g", "--job", "job")])
def test_the_next_command_that_talks_to_a_cloud_ends_a_machine_that_was_never_used(
    laptop: Laptop, command: tuple[str, ...]
) -> None:
    typed = laptop.launch()
    typed.until_state("BOOTING")
    typed.kill()
    assert laptop.cloud.meter().alive
    said = laptop.run(*command)
    assert said.code == 0, said.err
    laptop.all_quiet()


def test_the_next_command_leaves_a_job_alone_that_works(laptop: Laptop) -> None:
    laptop.quick(steps=400, seconds=0.25)
    typed = laptop.launch()
    started = typed.until_state("RUNNING")
    typed.kill()
    said = laptop.run("offers", "--gpu", "a10g")
    assert f"launch attach {started['run']}" in said.err
    assert laptop.record().state is State.RUNNING
    assert laptop.cloud.meter().alive


def test_reap_of_another_laptop_touches_nothing_of_ours(laptop: Laptop) -> None:
    laptop.quick(steps=400, seconds=0.25)
    typed = laptop.launch()
    typed.until_state("RUNNING")
    stranger = laptop.run("reap", "--json", LAUNCH_HOME=str(laptop.folder / "stranger"))
    assert stranger.code == 0, stranger.err
    assert laptop.cloud.meter().alive


def test_reap_ends_a_machine_whose_ledger_is_lost(laptop: Laptop) -> None:
    laptop.quick(steps=400, seconds=0.25)
    typed = laptop.launch()
    typed.until_state("RUNNING")
    typed.kill()
    for file in laptop.home.glob("ledger.sqlite*"):
        file.unlink()
    reaped = laptop.run("reap", "--json")
    assert reaped.code == 0, reaped.err
    (ended,) = reaped.last["ended"]
    assert ended["id"] == laptop.machine().id
    assert laptop.cloud.meter().alive == ()

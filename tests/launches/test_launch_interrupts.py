"""Ctrl-C, as a terminal sends it: to every process of the command."""

from pathlib import Path

import pytest

from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud


def test_ctrl_c_while_the_machine_boots_ends_it_and_exits_6(laptop: Laptop) -> None:
    laptop.cloud.knobs(ssh_delay_seconds=60)
    typed = laptop.launch()
    typed.until_state("BOOTING")
    laptop.cloud.wait_for(lambda: laptop.machine().state == "running")
    typed.interrupt()
    said = typed.ended()
    assert said.code == 6, said.err
    assert said.last["outcome"] == "cancelled"
    laptop.all_quiet()


def test_ctrl_c_while_the_job_runs_saves_and_pulls_what_there_is(laptop: Laptop) -> None:
    laptop.quick(steps=400, seconds=0.1, save_every=1000)
    typed = laptop.launch()
    typed.until(lambda event: event["event"] == "progress" and event["step"] > 0)
    typed.interrupt()
    said = typed.ended()
    assert said.code == 6, said.err
    receipt = said.last
    assert (receipt["event"], receipt["outcome"], receipt["results"]["verified"]) == ("receipt", "cancelled", True)
    assert (Path(receipt["results"]["dir"]) / "eval" / "base.json").is_file()
    saved = [event["what"] for event in said.events if event["event"] == "pulled" and event["what"] != "results"]
    assert len(saved) == 1, saved
    laptop.all_quiet()


def test_a_second_ctrl_c_lets_go_at_once_and_says_which_command_finishes_the_job(laptop: Laptop) -> None:
    laptop.quick(steps=400, seconds=0.1, deaf=1)
    typed = laptop.launch()
    run = typed.until(lambda event: event["event"] == "progress" and event["step"] > 0)["run"]
    typed.interrupt()
    typed.until(lambda event: event.get("code") == "saving")
    typed.interrupt()
    said = typed.ended()
    assert (said.code, said.last["exit_code"], said.last["code"]) == (7, 7, "may-be-running")
    assert f"launch stop {run}" in said.last["hint"]
    assert laptop.cloud.meter().alive
    assert laptop.run("stop", run, "--now", "--json").code in (0, 6)
    laptop.all_quiet()

"""The other commands beside a launch that runs: detached, looked at, logged in to, stopped, gone on with."""

from decimal import Decimal

import pytest

from launcher.run import State
from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud


def test_a_detached_launch_returns_once_the_job_runs_and_finishes_in_the_background(laptop: Laptop) -> None:
    laptop.quick(steps=20, seconds=0.2)
    said = laptop.launched("--detach")
    assert said.code == 0, said.err
    assert laptop.record().state in (State.RUNNING, State.PULLING)
    record = laptop.until_terminated()
    assert str(record.outcome) == "succeeded"
    laptop.all_quiet()


def test_a_run_in_the_background_can_be_looked_at_logged_in_to_and_stopped(laptop: Laptop) -> None:
    laptop.quick(steps=2000, seconds=0.1, save_every=20)
    assert laptop.launched("--detach").code == 0
    run = laptop.record().id
    shown = laptop.run("show", "--json").last
    assert (shown["id"], shown["state"], shown["instance_id"]) == (run, "RUNNING", laptop.machine().id)
    hello = laptop.run("ssh", run, "--", "printenv", "LAUNCH_BOX")
    assert (hello.code, hello.out.split()) == (0, [laptop.machine().id]), hello.err
    assert laptop.run("ssh", "--", "false").code == 1
    logs = laptop.type("logs", run, "-f")
    logs.until_line("step 3 of 2000")
    logs.interrupt()
    assert logs.ended().code == 0
    pulled = laptop.run("pull", run, "--json")
    assert (pulled.code, pulled.last["verified"]) == (0, True), pulled.err
    stopped = laptop.run("stop", run)
    assert stopped.code == 0, stopped.err
    record = laptop.until_terminated()
    assert str(record.outcome) == "cancelled"
    assert (record.out_dir / "eval" / "base.json").is_file()
    laptop.all_quiet()


def test_attach_beside_the_carrier_watches_the_run_to_its_receipt_and_disturbs_nothing(laptop: Laptop) -> None:
    laptop.quick(steps=30, seconds=0.2)
    typed = laptop.launch()
    run = typed.until_state("RUNNING")["run"]
    attached = laptop.run("attach", run, "--json")
    assert (attached.code, attached.last["event"]) == (0, "receipt")
    assert typed.ended().code == 0
    laptop.all_quiet()


def test_a_run_whose_carrier_died_is_attached_to_and_finishes(laptop: Laptop) -> None:
    laptop.quick(steps=20, seconds=0.2)
    typed = laptop.launch()
    run = typed.until_state("RUNNING")["run"]
    typed.kill()
    said = laptop.run("attach", run, "--json")
    assert (said.code, said.last["event"], said.last["outcome"]) == (0, "receipt", "succeeded"), said.err
    laptop.all_quiet()


def test_a_finished_run_is_told_by_receipt_report_logs_and_ps(laptop: Laptop) -> None:
    said = laptop.launched()
    assert said.code == 0, said.err
    run = said.last["run"]
    assert laptop.run("receipt", run, "--json").last == said.last
    assert "succeeded" in laptop.run("receipt", run).out
    report = laptop.run("report", run, "--json")
    assert report.code == 0, report.err
    assert (laptop.record().out_dir / "report.html").read_text().startswith("<!doctype html>")
    assert "step 8 of 8" in laptop.run("logs", run).out
    (row,) = laptop.run("ps", "--json").last["runs"]
    assert (row["id"], row["outcome"], row["open_intents"]) == (run, "succeeded", 0)
    assert laptop.run("ssh", run).code == 2


def test_a_stopped_run_goes_on_from_its_checkpoint_under_a_new_budget(laptop: Laptop) -> None:
    laptop.quick(steps=40, seconds=0.2, save_every=4)
    typed = laptop.launch()
    typed.until(lambda event: event["event"] == "pulled" and event["what"].startswith("step-"))
    typed.interrupt()
    first = typed.ended()
    assert first.code == 6, first.err
    resumed = laptop.run("resume", first.last["run"], "--budget", "6", "--yes", "--json")
    assert (resumed.code, resumed.last["outcome"]) == (0, "succeeded"), resumed.err
    assert any(event.get("code") == "resumed" for event in resumed.events)
    assert "begins after step 0" not in (laptop.record().out_dir / "logs" / "job.log").read_text()
    laptop.all_quiet("6")


def test_a_run_whose_lease_runs_short_saves_comes_home_exits_5_and_goes_on_to_its_last_step(laptop: Laptop) -> None:
    laptop.quick(steps=60, seconds=0.2, save_every=4)
    typed = laptop.launch()
    typed.until(lambda event: event["event"] == "pulled" and event["what"].startswith("step-"))
    machine = laptop.machine()
    # The machine's own guard is the last word on how long it lives; its lease now runs short.
    guard = machine.root / "var/lib/launch"
    (guard / "lease").write_text(str(int(float((guard / "life").read_text())) + 100))
    said = typed.ended()
    assert said.code == 5, f"{said.out[-4000:]}\n{said.err}"
    assert said.last["outcome"] == "out of budget", said.last
    assert said.last["results"]["verified"]
    laptop.all_quiet()
    named = said.last["resume_budget_usd"]
    assert f"--budget {Decimal(named):.2f}" in laptop.run("receipt").out
    resumed = laptop.run("resume", "--budget", named, "--yes", "--json")
    assert resumed.code == 0, f"{resumed.out[-4000:]}\n{resumed.err}"
    assert [one["outcome"] for one in resumed.last["parts"]] == ["out of budget", "succeeded"]
    log = (laptop.record().out_dir / "logs" / "job.log").read_text()
    assert "begins after step 0" not in log
    assert "step 60 of 60" in log
    laptop.all_quiet(named)

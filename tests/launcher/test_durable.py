"""Results that outlive laptop and machine: stored by the machine, ended by itself, found again, verified, removed."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import deposits, durable, flow, recover
from launcher.bucket import BucketError
from launcher.checkpoints import step_of
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.fetching import fetch
from launcher.kept import receipt as kept_receipt
from launcher.remote import RemoteUnreachable
from launcher.run import Outcome, State
from tests.fake_bucket import FakeBucket
from tests.fake_guest import Work
from tests.fake_world import FIRST_RUN, Killed, Stage
from tests.soak.disk import Disk
from tests.soak.reading import rows

LONG = Work(steps=40, step_seconds=30, save_every=5)


@pytest.fixture
def store(stage: Stage) -> FakeBucket:
    return stage.with_store()


def killed_while_it_works(stage: Stage, after_seconds: float = 120) -> None:
    """The laptop dies a while after the job has begun."""
    began = stage.clock()

    def die(_: str) -> None:
        works = bool(stage.site.started)
        if works and stage.clock() >= began + timedelta(seconds=after_seconds):
            stage.kill()

    stage.at_point = die
    with pytest.raises(Killed):
        stage.launch()
    stage.at_point = lambda name: None


def adapter(stage: Stage) -> Path:
    return stage.folder / "runs" / FIRST_RUN / "adapter" / "adapter_model.safetensors"


def checkpoint_here(stage: Stage) -> str | None:
    stage.revive()
    return stage.laptop().ledger.checkpoint(FIRST_RUN)


def machine_of(stage: Stage) -> str:
    (machine,) = stage.cloud.truth
    return machine


def test_a_watching_laptop_pulls_as_ever_and_leaves_nothing_in_the_store(stage: Stage, store: FakeBucket) -> None:
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.results.verified
    assert receipt.results.store == ""
    assert store.begun_ever > 0
    assert not store.content
    assert not store.uploads
    assert receipt.leftovers == ()


def test_a_machine_that_nobody_watches_stores_its_results_and_ends_itself_at_once(
    stage: Stage, store: FakeBucket
) -> None:
    killed_while_it_works(stage)
    stage.clock.sleep(6 * 3600)
    store.due()
    machine = stage.cloud.truth[machine_of(stage)]
    assert machine.ended_at is not None
    assert (machine.ended_at - machine.born_at).total_seconds() < 900  # its lease would have been hours
    assert f"runs/{FIRST_RUN}/1/results" in store.content


def test_reap_on_another_day_brings_them_home_verified_and_empties_the_store(stage: Stage, store: FakeBucket) -> None:
    killed_while_it_works(stage)
    stage.clock.sleep(3600)
    stage.revive()
    reaped = recover.reap(stage.laptop())
    document = stage.laptop().ledger.find(FIRST_RUN).receipt_json
    assert document is not None
    receipt = kept_receipt(document)
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.results.verified
    assert receipt.results.store == "mine/launch"
    assert receipt.exit_code is Exit.SUCCEEDED
    assert adapter(stage).stat().st_size == 7000
    assert not store.content
    assert not store.uploads
    assert reaped.left_alone == ()
    assert stage.cloud.billed_usd() < Decimal("0.2")
    assert receipt.spent_usd <= Decimal(5)


def test_attach_finds_the_machine_gone_and_the_results_in_the_store(stage: Stage, store: FakeBucket) -> None:
    killed_while_it_works(stage)
    stage.clock.sleep(3600)
    stage.revive()
    receipt = flow.attach(FIRST_RUN, stage.laptop())
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.results.store == "mine/launch"
    assert len(stage.cloud.truth) == 1


def test_pull_fetches_from_the_store_where_the_machine_is_gone(stage: Stage, store: FakeBucket) -> None:
    killed_while_it_works(stage)
    stage.clock.sleep(3600)
    stage.revive()
    pulled = fetch(FIRST_RUN, stage.laptop())
    assert pulled.verified
    assert adapter(stage).exists()
    assert store.content  # the run is not closed yet: nothing is removed


def test_pull_fetches_from_the_store_where_the_machine_is_still_shown_and_not_to_be_reached(
    stage: Stage, store: FakeBucket
) -> None:
    stage.provider.catalogue = tuple(replace(one, guarded=False) for one in stage.offers)
    killed_while_it_works(stage)
    stage.clock.sleep(1800)
    store.due()
    stage.revive()

    def unreachable(verb: str) -> None:
        if verb == "remote":
            raise RemoteUnreachable("connection refused")

    stage.cloud.before_call = unreachable
    assert stage.cloud.alive()
    assert fetch(FIRST_RUN, stage.laptop()).verified
    assert adapter(stage).exists()


def test_a_store_that_is_away_at_the_end_keeps_the_results_and_pull_mends_the_receipt(
    stage: Stage, store: FakeBucket
) -> None:
    stage.provider.catalogue = tuple(replace(one, guarded=False) for one in stage.offers)
    killed_while_it_works(stage)
    stage.clock.sleep(1800)
    store.due()
    stage.site.lost_pulls, store.is_away = 10**6, True
    stage.revive()
    receipt = flow.attach(FIRST_RUN, stage.laptop())
    ending = stage.laptop().ledger.load(FIRST_RUN).ending
    assert ending is not None
    assert (receipt.outcome, ending.code) == (Outcome.LOST, durable.IN_STORE)
    assert not receipt.results.verified
    assert len(stage.cloud.truth) == 1  # what is safe is not made a second time
    store.is_away = False
    recover.reap(stage.laptop())
    assert f"runs/{FIRST_RUN}/1/results" in store.content  # not home: reap lets it lie
    fetch(FIRST_RUN, stage.laptop())
    document = stage.laptop().ledger.find(FIRST_RUN).receipt_json
    assert document is not None
    mended = kept_receipt(document)
    assert mended.outcome is Outcome.SUCCEEDED
    assert mended.results.verified
    assert not store.content


def test_what_is_in_the_store_is_fetched_once_its_machine_is_not_billed_any_more(
    stage: Stage, store: FakeBucket
) -> None:
    """A store may be slow for hours, and the budget is over: nothing that is paid for by the hour waits for it."""
    stage.provider.catalogue = tuple(replace(one, guarded=False) for one in stage.offers)
    killed_while_it_works(stage)
    stage.clock.sleep(1800)
    store.due()
    stage.site.lost_pulls, alive = 10**6, []
    store.at_read = lambda: alive.append(stage.cloud.alive())
    stage.revive()
    receipt = flow.attach(FIRST_RUN, stage.laptop())
    assert (receipt.outcome, receipt.results.store) == (Outcome.SUCCEEDED, "mine/launch")
    assert set(alive) == {()}
    stage.all_quiet()


def test_a_death_between_the_machines_end_and_the_fetch_loses_nothing(stage: Stage, store: FakeBucket) -> None:
    killed_while_it_works(stage)
    stage.clock.sleep(3600)
    stage.revive()
    store.at_read = stage.kill
    with pytest.raises(Killed):
        flow.attach(FIRST_RUN, stage.laptop())
    store.at_read = lambda: None
    stage.revive()
    recover.reap(stage.laptop())
    document = stage.laptop().ledger.find(FIRST_RUN).receipt_json
    assert document is not None
    receipt = kept_receipt(document)
    assert (receipt.outcome, receipt.results.store) == (Outcome.SUCCEEDED, "mine/launch")
    stage.all_quiet()


def put_back(stage: Stage, *, at: Callable[[], bool]) -> None:
    """The laptop dies while the job works, and its ledger comes back as it was at an earlier moment."""
    books, older = stage.folder / "home" / "ledger.sqlite", stage.folder / "older.sqlite"
    began = stage.clock()

    def turn(_: str) -> None:
        if not older.exists() and at():
            with closing(sqlite3.connect(books)) as now, closing(sqlite3.connect(older)) as copy:
                now.backup(copy)
        if stage.site.started and stage.clock() >= began + timedelta(seconds=120):
            stage.kill()

    stage.at_point = turn
    with pytest.raises(Killed):
        stage.launch()
    stage.at_point = lambda name: None
    stage.clock.sleep(3600)
    stage.revive()
    for end in ("", "-wal", "-shm"):
        books.with_name(books.name + end).unlink(missing_ok=True)
    shutil.copy(older, books)


def test_results_come_home_although_a_ledger_that_was_put_back_says_that_the_job_never_began(
    stage: Stage, store: FakeBucket
) -> None:
    put_back(stage, at=lambda: bool(stage.cloud.truth))
    recover.reap(stage.laptop())
    document = stage.laptop().ledger.find(FIRST_RUN).receipt_json
    assert document is not None
    receipt = kept_receipt(document)
    assert (receipt.outcome, receipt.results.store) == (Outcome.SUCCEEDED, "mine/launch")
    assert adapter(stage).exists()
    assert not store.content


def test_results_stay_in_the_store_for_a_ledger_that_knows_of_no_machine(stage: Stage, store: FakeBucket) -> None:
    books = stage.folder / "home" / "ledger.sqlite"
    put_back(stage, at=lambda: bool(rows(books, "SELECT 1 FROM runs")))
    assert rows(books, "SELECT 1 FROM attempts") == []
    reaped = recover.reap(stage.laptop())
    assert any(f"launch pull {FIRST_RUN}" in line for line in reaped.left_alone)
    assert f"runs/{FIRST_RUN}/1/results" in store.content
    assert not store.uploads
    assert fetch(FIRST_RUN, stage.laptop()).verified
    assert adapter(stage).exists()


def test_the_key_that_proves_what_a_machine_stored_is_there_after_a_power_cut(tmp_path: Path) -> None:
    disk, home = Disk(tmp_path), tmp_path / "home"
    (home / "runs" / FIRST_RUN).mkdir(parents=True)
    with disk.watched():
        disk.all_is_safe()
        known = deposits.opened(home / "runs" / FIRST_RUN, "mine/launch")
        key = known.of(1).key
        known.save()
        disk.freeze(is_power_lost=True)
        disk.thaw(home / "ledger.sqlite", is_power_lost=True)
    found = deposits.load(home / "runs" / FIRST_RUN)
    assert found is not None
    assert found.attempts[1].key == key


def test_results_that_are_not_all_here_stay_in_the_store(stage: Stage, store: FakeBucket) -> None:
    """A failed job's were pulled from the machine; one of them was lost here since."""
    stage.site.work = replace(LONG, outcome="failed")
    assert stage.storing is not None
    stage.storing.upload_seconds = 0
    at_next_begun: list[Path] = []

    def lose(verb: str) -> None:
        out = stage.folder / "runs" / FIRST_RUN / "logs" / "data.json"
        if verb == "begun" and not at_next_begun:
            at_next_begun.append(out)
            out.unlink()

    store.before_call = lose
    receipt = stage.launch()
    assert receipt.outcome is Outcome.FAILED
    assert any(f"launch pull {FIRST_RUN}" in line for line in receipt.leftovers)
    assert f"runs/{FIRST_RUN}/1/results" in store.content
    fetch(FIRST_RUN, stage.laptop())
    assert at_next_begun[0].exists()
    recover.reap(stage.laptop())
    assert not store.content


def test_another_host_key_that_is_met_while_places_are_granted_anew_ends_the_run_for_good(
    stage: Stage, store: FakeBucket
) -> None:
    stage.site.work = LONG

    def change(verb: str) -> None:
        stage.site.wrong_host_key = stage.site.wrong_host_key or (verb == "begin" and bool(stage.site.started))

    store.before_call = change
    receipt = stage.launch()
    ending = stage.laptop().ledger.load(FIRST_RUN).ending
    assert ending is not None
    assert (receipt.outcome, ending.code) == (Outcome.FAILED, "host-key-mismatch")
    stage.all_quiet()


def test_a_disk_too_full_for_the_books_of_the_store_ends_no_run(stage: Stage, store: FakeBucket) -> None:
    home = stage.laptop().run_folder(FIRST_RUN)
    stage.site.work = LONG

    def fill(_: str) -> None:
        if home.is_dir() and stage.site.started and not blocked.is_dir():
            (home / deposits.FILE).unlink(missing_ok=True)
            blocked.mkdir()

    blocked = home / deposits.FILE
    stage.at_point = fill
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.truth) == 1


def test_a_reclaimed_machine_leaves_a_checkpoint_that_the_next_one_goes_on_from(
    stage: Stage, store: FakeBucket
) -> None:
    stage.site.work = LONG
    killed_while_it_works(stage, 700)
    first = machine_of(stage)
    pulled_step = step_of(checkpoint_here(stage) or "")
    stage.clock.sleep(300)
    store.due()
    stage.cloud.preempt(first)
    stage.revive()
    receipt = flow.attach(FIRST_RUN, stage.laptop())
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.attempts == 2
    (second,) = [one for one in stage.cloud.truth if one != first]
    assert stage.site.restored[second] > pulled_step


def test_what_somebody_else_put_there_is_not_taken(stage: Stage, store: FakeBucket) -> None:
    killed_while_it_works(stage)
    stage.clock.sleep(3600)
    store.due()
    key = f"runs/{FIRST_RUN}/1/results"
    index = store.content[key].index(b'{"schema"')
    store.content[key] = store.content[key][:index] + store.content[key][index:].replace(b"out", b"0ut", 1)
    stage.revive()
    receipt = flow.attach(FIRST_RUN, stage.laptop())
    assert receipt.outcome is not Outcome.SUCCEEDED or receipt.attempts == 2
    assert receipt.results.store == ""


def test_a_byte_that_turned_in_the_store_is_no_success(stage: Stage, store: FakeBucket) -> None:
    killed_while_it_works(stage)
    stage.clock.sleep(3600)
    store.due()
    store.spoiled.add(f"runs/{FIRST_RUN}/1/results")
    stage.revive()
    receipt = flow.attach(FIRST_RUN, stage.laptop())
    assert receipt.outcome is Outcome.LOST
    assert not receipt.results.verified
    assert f"runs/{FIRST_RUN}/1/results" in store.content  # what cannot be read today is not thrown away


def test_a_store_that_is_away_stops_nothing(stage: Stage, store: FakeBucket) -> None:
    store.is_away = True
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.results.verified
    assert [one for one in stage.heard.of(Warned) if one.code == "store"]


def test_an_unguarded_machine_is_never_told_to_end_itself(stage: Stage, store: FakeBucket) -> None:
    offers = tuple(replace(one, guarded=False) for one in stage.offers)
    stage.provider.catalogue = offers
    stage.launch()
    assert [grant["end"] for grant in stage.site.grants.values()] == [False]


def test_the_grant_has_places_below_the_run_alone_and_no_credential(stage: Stage, store: FakeBucket) -> None:
    stage.launch()
    (grant,) = stage.site.grants.values()
    names = sorted(slot["object"] for slot in grant["slots"])
    assert len(names) == 5
    assert all(re.fullmatch(r"results|checkpoint-[0-9]+", name) for name in names)
    assert set(grant) == {
        "schema", "key", "run", "attempt", "every_seconds", "upload_seconds", "end", "wait_seconds", "slots",
    }  # fmt: skip
    assert set(store.ends) == {f"upload-{number}" for number in range(1, store.begun_ever + 1)}


def test_what_is_stored_is_paid_for_once(stage: Stage, store: FakeBucket) -> None:
    stage.site.work = LONG
    with_store = stage.launch()
    assert stage.heard.of(Warned)
    (run,) = [stage.laptop().ledger.load(FIRST_RUN)]
    stored = [one for one in stage.heard.of(Warned) if one.code == "stored"]
    assert stored
    assert run.attempt.egress_usd > 0
    assert with_store.spent_usd <= Decimal(5)


def test_only_the_last_two_checkpoints_stay_while_the_job_works(stage: Stage, store: FakeBucket) -> None:
    stage.site.work = replace(LONG, steps=120)
    most = 0

    def count(_: str) -> None:
        nonlocal most
        most = max(most, sum("checkpoint" in key for key in store.content))

    stage.at_point = count
    stage.launch()
    assert most == 3  # the third one came before the first one went


def test_addresses_that_run_out_are_renewed_while_we_live(stage: Stage, store: FakeBucket) -> None:
    stage.site.work = replace(LONG, steps=200)
    store.expires = stage.clock() + timedelta(minutes=30)
    seen: set[datetime] = set()

    def longer(_: str) -> None:
        store.expires = stage.clock() + timedelta(minutes=30)
        seen.update(store.ends.values())

    stage.at_point = longer
    stage.launch(budget="10")
    assert len(seen) > 2


def test_credentials_that_end_in_a_moment_are_told_and_stop_nothing(stage: Stage, store: FakeBucket) -> None:
    store.expires = stage.clock() + timedelta(seconds=60)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    assert any("end in a moment" in one.text for one in stage.heard.of(Warned))


def test_a_store_that_refuses_is_refused_before_money_is_spent(stage: Stage, store: FakeBucket) -> None:
    def refuse(key: str) -> None:
        raise BucketError("PutObject in mine: AccessDenied", code="AccessDenied")

    store.probe = refuse  # type: ignore[method-assign]  # this store's own answer
    with pytest.raises(LaunchError) as caught:
        durable.must_work(stage.laptop())
    assert (caught.value.code, caught.value.exit_code) == ("store", Exit.PROVIDER)
    assert "AccessDenied" in caught.value.message


def test_temporary_credentials_are_said_with_their_end(stage: Stage, store: FakeBucket) -> None:
    store.expires = stage.clock() + timedelta(hours=3)
    (remark,) = durable.must_work(stage.laptop())
    assert "until 2026-11-24 15:00 UTC (3.0 h)" in remark


def test_reap_lists_what_it_does_not_know_and_lets_it_lie(stage: Stage, store: FakeBucket) -> None:
    store.content["runs/calm-heron-0002/1/results"] = b"somebody's"
    reaped = recover.reap(stage.laptop())
    assert [line.partition(":")[0] for line in reaped.left_alone] == ["calm-heron-0002"]
    assert store.content


def test_the_books_of_a_deposit_hold_no_address_and_are_ours_alone(stage: Stage, store: FakeBucket) -> None:
    stage.launch()
    file = stage.laptop().run_folder(FIRST_RUN) / deposits.FILE
    assert file.stat().st_mode & 0o077 == 0
    assert "fake://" not in file.read_text()


def test_a_run_that_is_over_in_the_store_is_closed_before_its_lease_ends(stage: Stage, store: FakeBucket) -> None:
    killed_while_it_works(stage)
    stage.clock.sleep(1200)
    stage.revive()
    world = stage.laptop()
    assert world.now() < world.ledger.load(FIRST_RUN).attempt.deadline
    recover.reap(world)
    assert stage.laptop().ledger.load(FIRST_RUN).state is State.TERMINATED

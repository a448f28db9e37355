"""Points at which a death leaves the same behind are told from all others, and come to the same."""

import sqlite3
from pathlib import Path

import pytest

from launcher import flow
from launcher.events import Warned
from tests.soak.pairs import CLOUDS, RETURNS, alike, killed
from tests.soak.play import play
from tests.soak.remains import UNREAD, remains
from tests.soak.schedule import Schedule
from tests.soak.storm import Storm

OF_A_DAY = 25
"""Every so many of a day's groups are played at both their ends."""


@pytest.mark.parametrize("cloud", [CLOUDS[0], CLOUDS[3]], ids=["guarded, idempotent", "neither"])
def test_points_that_leave_the_same_behind_come_to_the_same(cloud: Schedule) -> None:
    groups = [one for one in alike(cloud) if len(one.points) > 1]
    assert len(groups) > OF_A_DAY
    for number, group in enumerate(groups[::OF_A_DAY]):
        how = RETURNS[number % len(RETURNS)]
        first, last = (play(killed(cloud, how, point)) for point in (group.points[0], group.points[-1]))
        assert (first.machines, first.share, first.breaches) == (last.machines, last.share, last.breaches)


def test_every_point_of_a_day_is_in_one_group() -> None:
    points = sorted(point for group in alike(CLOUDS[0]) for point in group.points)
    assert points == list(range(1, play(CLOUDS[0]).points + 1))


def test_no_process_that_carries_a_run_on_reads_what_is_not_looked_at() -> None:
    read: set[str] = set()

    def note(action: int, table: str | None, *_more: str | None) -> int:
        if action == sqlite3.SQLITE_READ:
            read.add(table or "")
        return sqlite3.SQLITE_OK

    def listen(storm: Storm) -> None:
        assert storm.world is not None
        storm.world.ledger._db.set_authorizer(note)

    for how in RETURNS:
        assert play(killed(CLOUDS[0], how, 60, 150), at_point=listen).breaches == ()
    assert {"runs", "attempts", "intents", "sightings"} <= read
    assert read.isdisjoint(UNREAD)


def test_whatever_lasts_is_looked_at(tmp_path: Path) -> None:
    storm = Storm(tmp_path, CLOUDS[0])
    world = storm.laptop()
    run = storm.open_first(world)
    seen = [remains(storm)]

    def differs() -> bool:
        seen.append(remains(storm))
        return seen[-1] not in seen[:-1]

    world.console.tell(Warned(run=run.id, at=world.now(), code="note", text="nobody reads this"))
    assert not differs()
    world.ledger.ask_stop(run.id, "save")
    assert differs()
    (world.run_folder(run.id) / "keys" / "known_hosts").write_text("other")
    assert differs()
    (world.run_folder(run.id) / "keys" / "known_hosts").chmod(0o640)
    assert differs()
    storm.site.unreachable.add("m-0001")
    assert differs()
    storm.clock.sleep(1)
    assert differs()
    world.ledger.close()


def test_a_machine_and_its_lease_are_looked_at(tmp_path: Path) -> None:
    storm = Storm(tmp_path, CLOUDS[0])
    seen: list[bytes] = []

    def look(_: Storm) -> None:
        for machine in storm.cloud.machines()[:1]:
            lease = machine.lease_seconds
            before = remains(storm)
            machine.lease_seconds = lease + 1
            seen.append(before)
            assert remains(storm) != before
            machine.lease_seconds = lease
            storm.at_point = lambda name: None

    storm.at_point = lambda name: look(storm)
    world = storm.laptop()
    run = storm.open_first(world)
    storm.world = world
    flow.carry(run, world, is_new=True)
    assert seen
    world.ledger.close()

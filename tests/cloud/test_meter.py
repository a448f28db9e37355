"""The meter against figures computed by hand."""

from decimal import Decimal

from tests.cloud.meter import Meter, Metered, bill


def machine(**more: object) -> Metered:
    said = {"id": "i-1", "tags": {"run": "a"}, "created": 0.0, "disk_gib": 0, "prices": [(0.0, Decimal("3.6"))]}
    return Metered(**{**said, **more})  # type: ignore[arg-type]  # each test says what it means


def test_a_machine_is_billed_by_the_second_from_running_to_shutting_down() -> None:
    billed = bill(machine(started=10.0, ended=110.5), now=9999)
    assert billed.compute_usd == Decimal("0.1005")
    assert billed.seconds == Decimal("100.5")


def test_a_machine_that_ran_two_seconds_is_billed_for_sixty() -> None:
    assert bill(machine(started=10.0, ended=12.0), now=9999).compute_usd == Decimal("0.06")


def test_a_machine_that_never_ran_costs_its_disk_alone() -> None:
    billed = bill(machine(disk_gib=730, ended=5.0, deleted=3600.0), now=9999)
    assert billed.total_usd == billed.disk_usd == Decimal("0.08")


def test_the_disk_is_billed_until_it_is_deleted_and_not_only_while_the_machine_runs() -> None:
    assert bill(machine(disk_gib=730, started=0.0, ended=60.0, deleted=7200.0), now=9999).disk_usd == Decimal("0.16")


def test_a_spot_machine_is_billed_at_the_price_of_each_moment() -> None:
    moved = machine(started=100.0)
    moved.price(200.0, Decimal("7.2"))
    moved.ended = 300.0
    moved.price(250.0, Decimal(999))  # after its end nothing moves any more
    assert bill(moved, now=9999).compute_usd == Decimal("0.1") + Decimal("0.2")


def test_the_address_and_the_egress_are_on_the_bill() -> None:
    billed = bill(machine(started=0.0, ended=7200.0, egress_bytes=2 * 10**9), now=9999)
    assert (billed.address_usd, billed.egress_usd) == (Decimal("0.01"), Decimal("0.18"))
    assert billed.total_usd == Decimal("7.2") + Decimal("0.19")


def test_the_meter_tells_runs_apart_and_knows_the_most_machines_at_once() -> None:
    meter = Meter()
    meter.add(machine(id="i-1", started=0.0, ended=60.0))
    meter.add(machine(id="i-2", created=60.0, started=61.0))
    meter.add(machine(id="i-3", created=70.0, tags={"run": "b"}))
    assert meter.peak(100, "run", "a") == 1  # one after the other is not two at once
    assert meter.peak(100) == 2
    assert meter.alive("run") == ["i-2", "i-3"]
    assert meter.total_usd(100, "run", "b") == 0
    assert meter.total_usd(100, "run", "a") > Decimal("0.12")

"""The laptop goes away for good: the machine ends itself, and what the meter says stays within the budget."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cloud.client import Cloud, running
from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud

BUDGET = "0.60"
SCALE = 60.0
"""A minute of the machine in a second of ours: leases are never shorter than the job needs."""


@pytest.fixture(scope="module")
def fast_cloud() -> Iterator[Cloud]:
    """A cloud whose machines live fast."""
    with running(scale=SCALE) as cloud:
        yield cloud


@pytest.mark.parametrize("state", ["BOOTING", "RUNNING"])
def test_a_machine_whose_laptop_is_gone_ends_itself_within_the_budget(
    fast_cloud: Cloud, tmp_path: Path, state: str
) -> None:
    laptop = Laptop(fast_cloud, tmp_path)
    laptop.quick(steps=100_000, seconds=1, save_every=100)
    typed = laptop.type("--budget", BUDGET, "--gpu", "a10g", "--yes", "--json", "--job", "job")
    intent = typed.until(lambda event: event["event"] == "intent")
    typed.until_state(state)
    typed.kill()
    laptop.close()
    fast_cloud.wait_for(lambda: not fast_cloud.meter().alive, 90)
    machine = laptop.machine()
    assert machine.reason == "Client.InstanceInitiatedShutdown"
    assert machine.ended is not None
    assert machine.ended - machine.created <= intent["lease_seconds"] + 240
    assert fast_cloud.meter().total_usd <= Decimal(BUDGET)
    fast_cloud.reset()


def test_a_run_whose_machine_ended_itself_is_settled_by_reap(fast_cloud: Cloud, tmp_path: Path) -> None:
    laptop = Laptop(fast_cloud, tmp_path)
    laptop.quick(steps=100_000, seconds=1, save_every=100)
    typed = laptop.type("--budget", BUDGET, "--gpu", "a10g", "--yes", "--json", "--job", "job")
    typed.until_state("SHIPPING")
    typed.kill()
    fast_cloud.wait_for(lambda: not fast_cloud.meter().alive, 90)
    assert laptop.run("reap", "--json").code == 0
    laptop.all_quiet(BUDGET)
    laptop.close()
    fast_cloud.reset()

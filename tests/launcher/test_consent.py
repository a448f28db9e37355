"""The one question: what it is about, what its default is, and what a yes covers."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import flow
from launcher.consent import consent
from launcher.errors import Exit, LaunchError
from launcher.events import Happened, Warned
from launcher.receipt import Receipt
from launcher.request import Request
from launcher.world import World
from pricing.offer import Market, Offer
from pricing.plan import Plan, make_plan
from providers.base import NoCapacity
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Stage
from tests.pricing.samples import terms

ROOT = Path(__file__).parents[2]
GUARDED = replace(fake_offer("f1.guarded", usd="0.60", market=Market.ON_DEMAND), provider="fake")
UNGUARDED = replace(
    fake_offer("f1.open", usd="0.50", market=Market.ON_DEMAND, zone="west-1a"), provider="wild", guarded=False
)
LIKE_UNGUARDED = replace(
    UNGUARDED, instance_type="f1.like", usd_per_hour=Decimal("0.9"), worst_usd_per_hour=Decimal("0.9")
)
DEAR_UNGUARDED = replace(UNGUARDED, instance_type="f1.dear", usd_per_hour=Decimal(2), worst_usd_per_hour=Decimal(2))


@dataclass
class Asked:
    """A person who answers always the same, and remembers what was asked and said."""

    answer: bool | None = True
    questions: list[tuple[str, bool]] = field(default_factory=list)
    events: list[Happened] = field(default_factory=list)

    def tell(self, event: Happened) -> None:
        self.events.append(event)

    def fail(self, error: LaunchError, run: str) -> None:
        raise error

    def ask(self, question: str, *, default: bool) -> bool | None:
        self.questions.append((question, default))
        return self.answer


def planned(stage: Stage, *offers: Offer, yes: bool = False, accept: bool = False) -> Plan:
    limits = terms("5", interactive=not yes, accept_unguarded=accept, guard_delay_seconds={"fake": 30.0})
    return make_plan(offers, stage.workload, limits)


def asking(stage: Stage, person: Asked) -> World:
    stage.also("wild", UNGUARDED, traits=fake_traits(guarded=False))
    return replace(stage.laptop(), console=person)


def types(plan: Plan) -> list[str]:
    return [choice.offer.instance_type for choice in plan.choices]


def test_one_question_names_the_best_choice_and_its_default_is_yes(stage: Stage) -> None:
    person = Asked()
    plan = planned(stage, GUARDED)
    assert consent(plan, Request(), asking(stage, person)) == (plan, Request())
    assert person.questions == [("launch it on f1.guarded (fake)?", True)]
    assert person.events == []


def test_a_best_choice_that_does_not_end_itself_is_asked_about_with_no_as_the_default(
    stage: Stage, snapshot: SnapshotAssertion
) -> None:
    person = Asked()
    consent(planned(stage, UNGUARDED, GUARDED), Request(), asking(stage, person))
    assert person.questions == [("launch it on f1.open (wild), which does not end itself?", False)]
    texts = [event.text for event in person.events if isinstance(event, Warned)]
    assert {event.code for event in person.events if isinstance(event, Warned)} == {"unguarded"}
    assert "\n".join(texts) == snapshot


def test_what_it_costs_by_the_hour_and_by_the_day_is_said_at_the_worst_rate(stage: Stage) -> None:
    person = Asked()
    plan = planned(stage, UNGUARDED)
    worst = plan.choices[0].worst_usd_per_hour
    consent(plan, Request(), asking(stage, person))
    said = " ".join(event.text for event in person.events if isinstance(event, Warned))
    assert f"{worst:.2f} per hour" in said
    assert f"{worst * 24:.2f} per day" in said
    assert "launch reap" in said


def test_a_yes_to_a_machine_that_does_not_end_itself_covers_the_others_like_it_and_none_much_dearer(
    stage: Stage,
) -> None:
    plan = planned(stage, UNGUARDED, GUARDED, LIKE_UNGUARDED, DEAR_UNGUARDED)
    assert types(plan) == ["f1.open", "f1.guarded", "f1.like", "f1.dear"]
    agreed, request = consent(plan, Request(), asking(stage, Asked()))
    assert types(agreed) == ["f1.open", "f1.guarded", "f1.like"]
    assert (request.accept_unguarded, request.unguarded_usd_per_hour) == (True, 2 * plan.choices[0].worst_usd_per_hour)
    later = make_plan(
        (UNGUARDED, LIKE_UNGUARDED, DEAR_UNGUARDED),
        stage.workload,
        terms("5", accept_unguarded=True, unguarded_usd_per_hour=request.unguarded_usd_per_hour),
    )
    assert types(later) == ["f1.open", "f1.like"]
    assert [(one.offer.instance_type, one.code) for one in later.rejected] == [("f1.dear", "unguarded")]


def test_a_yes_to_a_machine_that_ends_itself_covers_none_that_does_not(stage: Stage) -> None:
    plan = planned(stage, GUARDED, DEAR_UNGUARDED)
    assert types(plan) == ["f1.guarded", "f1.dear"]
    agreed, request = consent(plan, Request(), asking(stage, Asked()))
    assert types(agreed) == ["f1.guarded"]
    assert not request.accept_unguarded


def test_who_accepted_such_machines_before_is_asked_plainly_and_keeps_them(stage: Stage) -> None:
    person = Asked()
    plan = planned(stage, UNGUARDED, GUARDED, accept=True)
    agreed, request = consent(plan, Request(accept_unguarded=True), asking(stage, person))
    assert person.events == []
    assert person.questions[0][1] is True
    assert types(agreed) == ["f1.open", "f1.guarded"]
    assert request.accept_unguarded


def test_yes_asks_nothing_and_leaves_out_what_does_not_end_itself(stage: Stage) -> None:
    person = Asked()
    plan = planned(stage, UNGUARDED, GUARDED, yes=True)
    agreed, request = consent(plan, Request(yes=True), asking(stage, person))
    assert (person.questions, person.events) == ([], [])
    assert types(agreed) == ["f1.guarded"]
    assert not request.accept_unguarded
    assert [(one.offer.instance_type, one.code) for one in plan.rejected] == [("f1.open", "unguarded")]


def test_yes_takes_what_does_not_end_itself_where_that_was_accepted(stage: Stage) -> None:
    plan = planned(stage, UNGUARDED, GUARDED, yes=True, accept=True)
    agreed, _ = consent(plan, Request(yes=True, accept_unguarded=True), asking(stage, Asked()))
    assert types(agreed) == ["f1.open", "f1.guarded"]


def test_a_no_creates_nothing(stage: Stage) -> None:
    with pytest.raises(LaunchError) as caught:
        consent(planned(stage, GUARDED), Request(), asking(stage, Asked(answer=False)))
    assert (caught.value.code, caught.value.exit_code) == ("declined", Exit.USAGE)


def test_where_nobody_can_be_asked_the_way_out_is_named(stage: Stage) -> None:
    with pytest.raises(LaunchError) as caught:
        consent(planned(stage, GUARDED), Request(), asking(stage, Asked(answer=None)))
    assert (caught.value.code, caught.value.exit_code) == ("no-terminal", Exit.USAGE)
    assert "--yes" in caught.value.hint


def launched(stage: Stage, person: Asked, request: Request) -> Receipt | None:
    """The whole story, with the job that comes with us."""
    wild = stage.also("wild", UNGUARDED, traits=fake_traits(guarded=False))
    stage.provider.catalogue = (GUARDED,)
    stage.provider.lies.refuse(NoCapacity("none left"), instance_type="f1.guarded")
    assert wild.catalogue == (UNGUARDED,)
    world = replace(stage.laptop(), console=person, job_folder=ROOT / "jobs" / "qlora")
    wanted = replace(request, budget_usd=Decimal(5), job=ROOT / "examples" / "support-json", out=stage.folder / "out")
    return flow.launch(wanted, world)


def test_failover_never_ends_on_a_machine_that_nobody_agreed_to(stage: Stage) -> None:
    """The best one ends itself and is not to be had, and the market is asked again while we wait."""
    cheap = replace(GUARDED, usd_per_hour=Decimal("0.30"), worst_usd_per_hour=Decimal("0.30"))
    stage.also("cheap", cheap).lies.refuse(NoCapacity("none left"))
    person = Asked()
    with pytest.raises(LaunchError) as caught:
        launched(stage, person, Request(wait_capacity_seconds=600.0))
    assert caught.value.code == "no-capacity"
    assert [question for question, _ in person.questions] == ["launch it on f1.guarded (cheap)?"]
    assert not stage.cloud.machines()


def test_who_agreed_to_a_machine_that_does_not_end_itself_gets_one_in_the_end(stage: Stage) -> None:
    receipt = launched(stage, Asked(), Request(accept_unguarded=True))
    assert receipt is not None
    assert receipt.provider == "wild"
    assert not stage.cloud.alive()

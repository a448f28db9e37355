"""`launch resume`: the same run goes on from its last verified checkpoint, under a new total budget (decision 0022)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_UP, Decimal
from pathlib import Path

from jobs.whole_files import sha256
from launcher import checkpoints, codec, rest
from launcher.books import spent_usd
from launcher.consent import consent
from launcher.display import money
from launcher.durable import IN_STORE, must_work
from launcher.errors import Exit, LaunchError
from launcher.events import PlanMade, Warned
from launcher.exposure import CENT_USD, Reservation, note
from launcher.flow import JOB_FILE, carry_held, detach, held
from launcher.price import ask_market, current_plan, kept, secrets_of, terms
from launcher.receipt import Receipt
from launcher.refusals import nothing_fits
from launcher.request import IfSlow, Request
from launcher.resumptions import Reopening
from launcher.run import Outcome, Run, State
from launcher.strays import take_in
from launcher.teardown import tear_down
from launcher.unknown import TAKEN_UP
from launcher.world import World
from pricing.budget import SMALLEST_USD
from pricing.plan import Plan, make_plan, smallest_budget_usd


@dataclass(frozen=True, kw_only=True)
class GoingOn:
    """All that is known before a person agrees to go on with a run."""

    run: Run
    request: Request
    plan: Plan
    """For what is left of the work, with what is left of the budget."""
    spent_usd: Decimal
    budget_usd: Decimal
    title: str
    notes: tuple[str, ...]

    @property
    def more_usd(self) -> Decimal:
        """What may be spent from now on."""
        return self.budget_usd - self.spent_usd

    @property
    def sums(self) -> str:
        """The three amounts that are easily taken for one another."""
        return f"{money(self.more_usd)} more; {money(self.spent_usd)} were spent; {money(self.budget_usd)} in all"


def resume(run_id: str, asked: Request, world: World, *, if_slow: IfSlow | None = None) -> Receipt | None:
    """Go on with a run that ended early; None where a background process does (`--detach`).

    `asked.budget_usd` is all that the run may cost, what it spent before included. What else was said narrows the
    choice anew; what was not stays as it was at the launch, but for consent, which is asked for again. Raises
    `LaunchError` where nothing was rented; the run is then as it was.
    """
    with held(run_id, world):
        run = _taken_up(run_id, asked, world)
        going = going_on(run, asked, world, if_slow=if_slow)
        tell(going, world)
        what = f"go on with {run.id} ({going.sums})"
        plan, request = consent(going.plan, going.request, world, what=what)
        run = _reopened(replace(going, plan=plan, request=request), world)
        if not request.detach:
            run.beats[TAKEN_UP] = world.now()
            return carry_held(run, world)
    detach(run, world)
    return None


def tell(going: GoingOn, world: World) -> None:
    """The notes, and the plan of the rest."""
    for line in going.notes:
        world.console.tell(Warned(run="", at=world.now(), code="note", text=line))
    world.console.tell(PlanMade(run="", at=world.now(), plan=going.plan, title=going.title, data=going.sums))


def _taken_up(run_id: str, asked: Request, world: World) -> Run:
    """The run, once it is certain that nothing of it runs: a machine that only the cloud knows ends, and counts."""
    run = world.ledger.load(run_id)
    _must_be_resumable(run, asked, world)
    if run.parts and all(one.never_was for one in run.since_resumed):
        world.ledger.undo_reopening(run)  # it died over an earlier try that rented nothing
        run = world.ledger.load(run_id)
    if take_in(run, world, everywhere=True) and take_in(run, world, everywhere=False):
        raise LaunchError(
            f"{run.id}: whether a machine of it still runs cannot be asked just now",
            code="provider-unavailable",
            exit_code=Exit.PROVIDER,
            hint=f"launch doctor     # then launch resume {run.id} --budget {asked.budget_usd}",
        )
    if any(one.gone_at is None for one in run.attempts):
        tear_down(run, world)
    return run


def going_on(run: Run, asked: Request, world: World, *, if_slow: IfSlow | None = None) -> GoingOn:
    """The rest of the run, priced anew: what can be known without spending anything or changing the run."""
    _must_be_resumable(run, asked, world)
    assert asked.budget_usd is not None
    notes = [*must_work(world), *_checkpoint_note(run, world), *_job_notes(run, world), *_ending_notes(run)]
    request = _merged(codec.load(Request, world.ledger.request(run.id)), asked, if_slow)
    secrets_of(request, world)
    spent = spent_usd(run, world.now()).quantize(SMALLEST_USD)  # as the receipt has it
    ahead = rest.resumed(run, world)
    plan = _plan(ahead, request, asked.budget_usd - spent, world)
    going = GoingOn(
        run=ahead, request=request, plan=plan, spent_usd=spent, budget_usd=asked.budget_usd,
        title=_title(ahead, plan, world), notes=(*notes, *_exposure_notes(asked.budget_usd - spent, world)),
    )  # fmt: skip
    return replace(going, notes=(*going.notes, *_tight_note(going, world)))


def _must_be_resumable(run: Run, asked: Request, world: World) -> None:
    spent = spent_usd(run, world.now())
    if run.state is not State.TERMINATED:
        message, hint = f"{run.id} has not ended", f"launch attach {run.id}"
    elif run.ending is not None and run.ending.outcome is Outcome.SUCCEEDED:
        message, hint = f"{run.id} succeeded; there is nothing to go on with", f"launch show {run.id}"
    elif run.ending is not None and run.ending.code == IN_STORE:
        message, hint = f"{run.id} finished; its results are in the durable store", f"launch pull {run.id}"
    elif not (world.run_folder(run.id) / "bundle.sha256").exists():
        message, hint = f"{run.id} had no job that could go on", "launch ps"
    elif asked.budget_usd is None or asked.budget_usd <= spent:
        message = f"{run.id} has spent {money(spent)} already, and its --budget is all that it may cost, that included"
        needed = rest.needed_usd(run, world) or spent + 1
        hint = f"launch resume {run.id} --budget {needed:.2f}     # {money(needed - spent)} more"
    else:
        return
    raise LaunchError(message, code="not-resumable", exit_code=Exit.USAGE, hint=hint)


def _checkpoint_note(run: Run, world: World) -> Sequence[str]:
    """Which checkpoint it goes on from, every byte of it checked here and now; the ledger is put right about it."""
    known = world.ledger.checkpoint(run.id)
    found = checkpoints.newest_whole(world.run_folder(run.id) / "checkpoints")
    if found is None:
        what = "has no checkpoint here" if known is None else f"has no whole checkpoint here ({known} is damaged)"
        raise LaunchError(
            f"{run.id} {what}, so there is nothing to go on from",
            code="no-checkpoint",
            exit_code=Exit.USAGE,
            hint="launch --budget 5 ...     # the same job, from its beginning",
        )
    if found == known:
        return ()
    world.ledger.note_checkpoint(run, found)
    return () if known is None else (f"{known} is not whole on this disk: it goes on from {found}",)


def _job_notes(run: Run, world: World) -> Sequence[str]:
    """The job is the one that was launched, byte for byte; where its file has changed since, that is said."""
    folder = world.run_folder(run.id)
    bundle, told = folder / "bundle.tar.gz", (folder / "bundle.sha256").read_text().strip()
    if not bundle.is_file() or sha256(bundle) != told:
        raise LaunchError(
            f"the bundle of {run.id} (its job and data as they were launched) is not as it was on this computer",
            code="bundle-damaged",
            exit_code=Exit.USAGE,
            hint="launch --budget 5 ...     # the same job from its beginning",
        )
    try:
        digest, _, name = (folder / JOB_FILE).read_text().strip().partition("  ")
        changed = not Path(name).is_file() or sha256(Path(name)) != digest
    except OSError:  # a run of an older version, or one without a file
        return ()
    return (f"{name} has changed since: this run goes on with it as it was, and with its data",) if changed else ()


def _ending_notes(run: Run) -> Sequence[str]:
    ending = run.ending
    if ending is None or ending.outcome is not Outcome.FAILED or ending.code:
        return ()
    return (f"its job failed by itself ({ending.why}), and may fail again at the same place: launch logs {run.id}",)


def _merged(before: Request, asked: Request, if_slow: IfSlow | None) -> Request:
    """What is said now goes before what was said then; consent, waiting and deadline are never taken over."""
    return replace(
        before,
        budget_usd=asked.budget_usd,
        gpu=asked.gpu or before.gpu,
        providers=asked.providers or before.providers,
        markets=asked.markets or before.markets,
        regions=asked.regions or before.regions,
        max_price_usd_per_hour=asked.max_price_usd_per_hour or before.max_price_usd_per_hour,
        deadline_seconds=asked.deadline_seconds,
        wait_capacity_seconds=asked.wait_capacity_seconds,
        detach=asked.detach,
        yes=asked.yes,
        accept_unguarded=asked.accept_unguarded,
        unguarded_usd_per_hour=None,
        community=asked.community or before.community,
        fresh=asked.fresh or before.fresh,
        if_slow=if_slow or before.if_slow,
    )


def _plan(run: Run, request: Request, more_usd: Decimal, world: World) -> Plan:
    """The cheapest ways to finish what is left. Raises `LaunchError` where there is none."""
    found = ask_market(request, world)
    before = current_plan(run, world)
    plan = make_plan(found.offers, rest.workload_left(run, world, before), terms(request, world, more_usd, found))
    if plan.choices:
        return plan
    least = smallest_budget_usd(plan) if any(one.code == "over-budget" for one in plan.rejected) else None
    if least is None:
        raise nothing_fits(plan, found, request, world)
    spent = spent_usd(run, world.now())
    total = max((spent + least).quantize(CENT_USD, rounding=ROUND_UP), rest.needed_usd(run, world) or Decimal(0))
    raise LaunchError(
        f"{money(more_usd)} more does not finish {run.id} on any machine on offer: {money(spent)} of its budget of "
        f"{money(spent + more_usd)} were spent before",
        code="over-budget",
        exit_code=Exit.REFUSED,
        hint=f"launch resume {run.id} --budget {total:.2f}     # {money(total - spent)} more",
    )


def _title(run: Run, plan: Plan, world: World) -> str:
    done = rest.steps_done(run, world)
    at = world.ledger.checkpoint(run.id) if done is None else f"step {done[0]} of {done[1]}"
    return f"{run.name} · {plan.workload.shape.name} · {run.id} goes on after {at}"


def _exposure_notes(more_usd: Decimal, world: World) -> Sequence[str]:
    told = note(world.ledger.exposure(world.config.exposure_cap_usd, world.now()), more_usd)
    return (told,) if told else ()


def _tight_note(going: GoingOn, world: World) -> Sequence[str]:
    """The plan is by the estimate; where the run itself was slower, a budget that it calls enough may not be."""
    needed = rest.needed_usd(going.run, world)
    if needed is None or going.budget_usd >= needed:
        return ()
    return (f"at the speed that it had, {money(needed)} in all would finish it nine times in ten",)


def _reopened(going: GoingOn, world: World) -> Run:
    """The run goes on in the ledger: one write, and none where the exposure cap does not allow it."""
    run, request, now = going.run, going.request, world.now()
    plan = replace(kept(going.plan), workload=current_plan(run, world).workload)
    seconds = request.deadline_seconds
    world.ledger.reopen(
        world.ledger.load(run.id),
        Reopening(
            budget_usd=going.budget_usd,
            deadline_at=None if seconds is None else now + timedelta(seconds=seconds),
            request=codec.dump(request),
            plan=codec.dump(plan),
        ),
        Reservation(
            usd=going.more_usd, cap_usd=world.config.exposure_cap_usd, now=now, command=f"launch resume {run.id}",
            spent_usd=going.spent_usd,
        ),
        going.spent_usd,
        now,
    )  # fmt: skip
    world.ledger.note_prices(plan.choices)
    text = f"{run.id} goes on: {going.sums}"
    world.console.tell(Warned(run=run.id, at=now, code="new-budget", text=text))
    return world.ledger.load(run.id)

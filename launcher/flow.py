"""The story: price, rent, ship, watch, pull, tear down, and say what it came to."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from jobs import package, spec
from jobs.whole_files import sha256
from launcher import books, codec, data_papers, durable, egress, fence, job_data, on_disk
from launcher.books import spent_usd
from launcher.boot import boot, ship
from launcher.consent import consent
from launcher.creating import COOL_DOWN_SECONDS
from launcher.errors import Exit, LaunchError
from launcher.events import PlanMade, Warned
from launcher.exposure import Reservation, must_fit
from launcher.followed import must_still_be_ours
from launcher.interrupt import Interrupted
from launcher.judging import judged
from launcher.lock import HeldElsewhere, is_carried, sole_writer
from launcher.pace_policy import SLOW_HOST
from launcher.price import Priced, current_plan, kept, plan_again, price
from launcher.provision import provision
from launcher.pulling import pull_results
from launcher.receipt import Receipt
from launcher.request import Request
from launcher.run import MOST_ATTEMPTS, Ending, Outcome, Run, State
from launcher.run_names import run_name
from launcher.settle import EXIT_OF, never_started, settle
from launcher.steps import Ended, step_to, turn_round_if_asked
from launcher.strays import take_in
from launcher.teardown import leaving, tear_down
from launcher.unknown import TAKEN_UP
from launcher.watch import watch
from launcher.world import World
from pricing.offer import Market
from providers.base import Ambiguous, ContractBroken, ProviderError, Throttled, Unavailable

STEPS = {
    State.PLANNED: provision,
    State.PROVISIONING: provision,
    State.BOOTING: boot,
    State.SHIPPING: ship,
    State.RUNNING: watch,
    State.PULLING: pull_results,
}
JOB_FILE = "job_file.sha256"
"""In a run's folder: hash and place of the launch.yaml that it was packed from, as `sha256sum` writes them."""
RENTING = (State.PLANNED, State.PROVISIONING)
"""States that go on to another create call: only where no machine of the run can be there that its books miss."""
DETACH_LOOK_SECONDS = 0.5
BEGIN_SECONDS = 60.0
"""How long a run may be carried by nobody before the process that should begin with it counts as dead."""
REST_SECONDS = {SLOW_HOST: 1800.0}
"""How long the place of a machine is left alone that ended so, where not for `COOL_DOWN_SECONDS`: the host that was
just given back is the first that would be given again (assumed)."""
ASKS, ASK_AGAIN_SECONDS = 3, 4.0
"""How often a cloud is asked what there is of a run that only begins: one broken answer must not end it."""
MAY_PASS = (Ambiguous, ContractBroken, Throttled, Unavailable)
BOOKS_SECONDS = 30.0
"""Between tries to write in a ledger whose disk is full."""
MOST_ALIKE = 5
"""Machines that may fail in the same way: after so many it is not the machines."""


def launch(request: Request, world: World) -> Receipt | None:
    """The whole story; None where a background process goes on with it (`--detach`).

    Raises `LaunchError` where nothing was spent, or where something is left that a person must see.
    """
    _must_have_a_budget(request, world)
    priced = price(request, world)
    rents = any(choice.offer.market is not Market.OWNED for choice in priced.plan.choices)
    for note in (*priced.notes, *(durable.must_work(world) if rents else ())):
        world.console.tell(Warned(run="", at=world.now(), code="note", text=note))
    data = job_data.line(priced.data.report)
    world.console.tell(PlanMade(run="", at=world.now(), plan=priced.plan, title=priced.title, data=data))
    now = world.now()
    asked = Reservation(usd=request.budget_usd, cap_usd=world.config.exposure_cap_usd, now=now)
    must_fit(world.ledger.exposure(asked.cap_usd, now), asked)
    plan, request = consent(priced.plan, request, world)
    run = open_run(request, replace(priced, plan=plan), world)
    if not request.detach:
        return carry(run, world, is_new=True)
    detach(run, world)
    return None


def _must_have_a_budget(request: Request, world: World) -> None:
    """Only what bills nothing may run without one."""
    names = request.providers or world.config.default_providers or world.provider_names
    billing = [name for name in names if world.provider(name).traits.bills]
    if request.budget_usd is None and billing:
        raise LaunchError(
            f"no budget: machines at {', '.join(billing)} cost money",
            code="no-budget",
            exit_code=Exit.USAGE,
            hint="launch --budget 5     # everything that this run may cost, in dollars; or --provider local",
        )


def detach(run: Run, world: World) -> None:
    """Hand the run to a background process of ours; returns once the job runs. Its failure on the way there is ours."""
    world.spawn(run.id)
    carried_at = world.now()
    while True:
        now = world.ledger.load(run.id)
        if now.state in (State.RUNNING, State.PULLING):
            text = f"{run.id} runs in the background"
            world.console.tell(Warned(run=run.id, at=world.now(), code="detached", text=text))
            return
        if now.state is State.TERMINATED:
            _told_early(now)
            return
        if is_carried(world.run_folder(run.id)):
            carried_at = world.now()
        elif (world.now() - carried_at).total_seconds() > BEGIN_SECONDS:
            raise _died(now)
        _look_again(run, world)


def _look_again(run: Run, world: World) -> None:
    """A Ctrl-C meant the run, which another process carries: that one turns round, and we wait for its end."""
    try:
        world.sleep(DETACH_LOOK_SECONDS)
    except Interrupted:
        world.ledger.ask_stop(run.id, "save")


def _told_early(run: Run) -> None:
    """It is over before it was seen to run. Raises `LaunchError` unless it went well."""
    ending = run.ending or Ending(outcome=Outcome.LOST, why="it ended before the job ran")
    if all(attempt.never_was for attempt in run.attempts):
        raise never_started(run.id, ending)
    if ending.outcome is not Outcome.SUCCEEDED:
        exit_code = EXIT_OF[ending.outcome] if ending.exit_code is None else Exit(ending.exit_code)
        raise LaunchError(
            f"{run.id}: {ending.why}", code=ending.code or "ended", exit_code=exit_code, hint=f"launch receipt {run.id}"
        )


def _died(run: Run) -> LaunchError:
    started = any(attempt.gone_at is None for attempt in run.attempts)
    what = "; a machine may still be running" if started else ", before anything was rented"
    return LaunchError(
        f"the background process of {run.id} died{what}",
        code="background-died",
        exit_code=Exit.MAY_BE_RUNNING if started else Exit.INTERRUPTED,
        hint=f"launch attach {run.id}     # or launch stop {run.id}; why: {run.id}/carrier.log in LAUNCH_HOME/runs",
    )


def open_run(request: Request, priced: Priced, world: World) -> Run:
    """The run on disk: its row in the ledger, its bundle in its folder. What goes wrong here costs nothing."""
    now = world.now()
    run_id = run_name()
    deadline_seconds = request.deadline_seconds
    run = Run(
        id=run_id,
        name=request.name or priced.loaded.spec.name,
        created_at=now,
        budget_usd=request.budget_usd,
        deadline_at=None if deadline_seconds is None else now + timedelta(seconds=deadline_seconds),
        out_dir=(request.out or _runs_folder() / run_id).absolute(),
        state=State.PLANNED,
    )
    _pack(run, request, priced, world)
    on_disk.sync(world.run_folder(run.id), world.home)  # what the ledger names below is there, whatever happens
    plan = kept(priced.plan)
    asked = Reservation(usd=run.budget_usd, cap_usd=world.config.exposure_cap_usd, now=now)
    world.ledger.open_run(run, request=codec.dump(request), plan=codec.dump(plan), reservation=asked)
    world.ledger.note_prices(plan.choices)
    return run


def _runs_folder() -> Path:
    return Path("runs")


def _pack(run: Run, request: Request, priced: Priced, world: World) -> None:
    """Bundle the job now: what cannot be shipped must be known before anything costs money."""
    folder = world.run_folder(run.id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    order = package.Order(run_id=run.id, attempt=1, secrets=request.secrets, notice=priced.notice)
    bundle = package.pack(priced.loaded, order, into=folder, job_folder=world.job_folder, environ=world.environ)
    (folder / "bundle.sha256").write_text(bundle.sha256)
    if priced.loaded.file.is_file():
        (folder / JOB_FILE).write_text(f"{sha256(priced.loaded.file)}  {priced.loaded.file.absolute()}\n")
    base = priced.loaded.model_folder
    prompts = {name: path.read_text(encoding="utf-8") for name, path in spec.prompt_files(priced.loaded).items()}
    folder_of_model = None if base is None else str(base.resolve())
    settings = {**bundle.settings, "model_folder": folder_of_model, "prompts": prompts}
    (folder / "settings.json").write_text(json.dumps(settings))
    data_papers.keep(priced.data.papers, folder)


def carry(run: Run, world: World, *, ending: Ending | None = None, is_new: bool = False) -> Receipt:
    """Take a run from wherever it is to TERMINATED, and settle it. Entering anywhere is all of recovery.

    With `ending` it only ends: nothing more is worked, nothing more is rented. Where the run is, the ledger says once
    the run is held: another process may have carried it on since `run` was read. `is_new`: this process has written it
    down itself, so that there are no machines of it that its ledger does not know.
    """
    with held(run.id, world):
        run = world.ledger.load(run.id)
        if run.state is not State.TERMINATED and not is_new:
            run.beats[TAKEN_UP] = world.now()
            is_idle = not run.since_resumed if ending is not None else run.state in RENTING
            trouble = _take_in(run, world, ASKS if is_idle else 1, everywhere=ending is None)
            if is_idle and trouble is not None:
                raise _not_certain(run, trouble)
        return carry_held(run, world, ending)


def _take_in(run: Run, world: World, asks: int, *, everywhere: bool) -> ProviderError | None:
    """What the books do not know; why that is not certain, where a cloud gives no answer so often in a row."""
    for left in reversed(range(asks)):
        trouble = take_in(run, world, everywhere=everywhere)
        if not left or not isinstance(trouble, MAY_PASS):
            return trouble
        _wait_and_ask_later(world, ASK_AGAIN_SECONDS)
    return None


def _not_certain(run: Run, trouble: ProviderError) -> LaunchError:
    """Its books know of no machine, and the cloud that could does not answer: it stays open until it does."""
    return LaunchError(
        f"{run.id}: whether a machine of it runs cannot be asked just now: {trouble.text}",
        code="provider-unavailable",
        exit_code=Exit.PROVIDER,
        hint=trouble.fix or "launch reap     # again, in a while",
    )


def only_begins(run: Run, world: World) -> bool:
    """Written down a moment ago: nothing was rented yet, and the process that will carry it is on its way."""
    age_seconds = (world.now() - run.created_at).total_seconds()
    return run.state is State.PLANNED and not run.attempts and age_seconds < BEGIN_SECONDS


@contextmanager
def held(run_id: str, world: World) -> Iterator[None]:
    """Hold the run for the length of a block. Raises `LaunchError` where another process does, or another computer."""
    try:
        with sole_writer(world.run_folder(run_id), partial(_wait_and_ask_later, world)), fence.carrying(run_id, world):
            yield
    except HeldElsewhere as error:
        raise LaunchError(
            f"another process carries {run_id}", code="held", exit_code=Exit.USAGE, hint=f"launch logs -f {run_id}"
        ) from error


def _wait_and_ask_later(world: World, seconds: float) -> None:
    """A Ctrl-C meanwhile means the run, and is left to what follows."""
    try:
        world.sleep(seconds)
    except Interrupted:
        world.sleep(seconds)
        world.interrupt.ask_again()


def carry_held(run: Run, world: World, ending: Ending | None = None) -> Receipt:
    """The same, by who holds the run already."""
    with leaving(run, world):
        if ending is not None and run.state is not State.TERMINATED:
            must_still_be_ours(run, world)
            if run.state in (State.RUNNING, State.PULLING):
                ending = replace(ending, pull=False)
            known = run.ending if run.state is State.TERMINATING else None
            world.ledger.end(run, replace(known or ending, again=False), world.now())
        while run.state is not State.TERMINATED:
            if run.state is not State.TERMINATING:
                _work(run, world)
            tear_down(run, world)
            _take_from_store(run, world)
            _go_on_or_close(run, world)
        return settle(run, world, opinions=judged)


def _work(run: Run, world: World) -> None:
    """One machine's work, step by step, until it says how it ended."""
    try:
        while True:
            if not run.may_work:  # what works is asked to save first, by who watches it
                turn_round_if_asked(run, world)
            try:
                STEPS[run.state](run, world)
            except sqlite3.OperationalError as error:
                _wait_for_the_books(run, error, world)
    except Ended as end:
        ending = end.ending
    except Interrupted:
        ending = Ending(outcome=Outcome.CANCELLED, why="stopped, as asked", code="cancelled")
    except fence.CarriedElsewhere:
        raise
    except LaunchError as error:
        if error.exit_code is Exit.MAY_BE_RUNNING:
            raise
        ending = Ending(
            outcome=Outcome.FAILED, why=error.message, code=error.code, hint=error.hint, exit_code=error.exit_code
        )
    must_still_be_ours(run, world)
    world.ledger.end(run, ending, world.now())


def _wait_for_the_books(run: Run, error: sqlite3.OperationalError, world: World) -> None:
    """This disk is full, or the ledger locked: what works there works on, and each step can be entered again.

    Raises `error` where nothing would be lost, and where budget or patience do not allow to wait any longer.
    """
    if not run.may_work:
        raise error
    cap = books.cap(run, run.attempt.choice, current_plan(run, world), world)
    if cap.lease_seconds <= cap.reserve.ending_seconds + BOOKS_SECONDS:
        raise error
    text = f"the ledger cannot be written ({error}); the job works on, and this is tried again while the budget allows"
    world.console.tell(Warned(run=run.id, at=world.now(), code="ledger", text=text))
    world.sleep(BOOKS_SECONDS)


def _take_from_store(run: Run, world: World) -> None:
    """What the machine left in the durable store, once nothing is billed any more: it may take hours, and waits."""
    if run.ending is None:
        return
    ending = durable.after(run, run.ending, world)
    if ending != run.ending:
        world.ledger.note_ending(run, ending)


def _go_on_or_close(run: Run, world: World) -> None:
    """The machine is proven gone: another one from the last checkpoint, if that makes sense, or the end."""
    ending = run.ending
    egress.take_in(run, world)
    world.ledger.note_spent(run, spent_usd(run, world.now()))
    if ending is not None and ending.again and _may_try_again(run, world):
        attempt = run.attempt
        attempt.end_code = ending.code or str(ending.outcome)
        world.ledger.save_attempt(run, attempt)
        until = world.now() + timedelta(seconds=REST_SECONDS.get(ending.code, COOL_DOWN_SECONDS))
        world.ledger.note_refusal(attempt.offer.pool, until, ending.why)
        text = f"{attempt.offer.id}: {ending.why}; looking for another machine"
        world.console.tell(Warned(run=run.id, at=world.now(), code=ending.code or str(ending.outcome), text=text))
        if _has_choice(run, world):
            step_to(run, State.PROVISIONING, world)
            return
    step_to(run, State.TERMINATED, world)


def _may_try_again(run: Run, world: World) -> bool:
    """Another machine, within reason; one's own machine is not another one."""
    owned = run.attempt.offer.market is Market.OWNED
    stopped = world.interrupt.asked or world.ledger.stop_asked(run.id)
    had = sum(not one.never_was for one in run.since_resumed)
    return not owned and had < MOST_ATTEMPTS and not stopped and not _is_always_the_same(run, world)


def _is_always_the_same(run: Run, world: World) -> bool:
    """Machines are taken back again and again, which is the market; they do not fail alike again and again."""
    ending = run.ending
    if ending is None or ending.outcome is Outcome.PREEMPTED or not ending.code:
        return False
    alike = 1 + sum(one.end_code == ending.code for one in run.since_resumed[:-1])
    if alike < MOST_ALIKE:
        return False
    text = f"{alike} machines ended in the same way ({ending.why}): no other one is tried"
    world.console.tell(Warned(run=run.id, at=world.now(), code="alike", text=text))
    return True


def _has_choice(run: Run, world: World) -> bool:
    """Whether what is left of budget and time still buys a machine that can finish."""
    try:
        return bool(plan_again(run, world).choices)
    except LaunchError as error:
        world.console.tell(Warned(run=run.id, at=world.now(), code="market", text=error.message))
        return False


def attach(run_id: str, world: World) -> Receipt:
    """Take a run up where the ledger says that it is."""
    run = world.ledger.load(run_id)
    if run.state is State.TERMINATED:
        return settle(run, world)
    return carry(run, world)

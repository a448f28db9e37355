"""From a request to a plan: the job read and measured, the market asked, the choices ranked. Nothing is spent here."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from jobs.spec import LoadedSpec
from launcher import after_reclaim, checkpoints, codec, freshness, market, short_memory
from launcher.books import spent_usd
from launcher.display import age
from launcher.errors import Exit, LaunchError
from launcher.fitting import figure, fitted_note, shortened
from launcher.history import NEWEST_RUNS, corrections
from launcher.job_data import read_job
from launcher.market import Market
from launcher.mistakes import from_provider
from launcher.refusals import nothing_fits
from launcher.request import Request
from launcher.run import Run
from launcher.world import World
from pricing import gpus
from pricing.fit_budget import fitted_plan
from pricing.offer import Offer
from pricing.plan import Choice, Plan, make_plan
from pricing.terms import Terms
from pricing.workload import Workload
from providers.base import NoCredentials, NotSetUp, Traits

if TYPE_CHECKING:  # for start-up time
    from jobs.checked_data import Checked

KEPT_CHOICES, KEPT_OF_ONE_KIND = 24, 4
"""Choices that a run keeps for failover, and how many of one machine type at one provider may crowd out others."""
STOCK_SECONDS = 30.0
"""Between looks at a market where all that would do is sold out (`--wait-capacity`)."""
FEW_TOKENS = 10_000
"""Below it they are told one by one: in millions they would be 0.00."""


@dataclass(frozen=True, kw_only=True)
class Priced:
    """All that is known before a person agrees."""

    plan: Plan
    title: str
    workload: Workload
    loaded: LoadedSpec
    notes: tuple[str, ...]
    data: "Checked"
    """What its rows came to."""
    notice: str
    """How a machine of this plan may learn that it will be taken back (`Traits.notice`)."""


def price(request: Request, world: World, *, from_snapshot: bool = False) -> Priced:
    """Read the job, measure it, ask the market, rank. No choice is a `LaunchError` that says what would do.

    `from_snapshot`: providers without credentials are shown with the dated prices that ship with us (`estimate`).
    """
    secrets_of(request, world)
    ready = read_job(request, world)
    loaded = ready.loaded
    workload, remarks = measure(loaded, world)
    if not from_snapshot:
        must_be_downloadable(loaded, request, world)
    found, plan = _weighed(request, workload, world, from_snapshot=from_snapshot)
    if not plan.choices:
        closed = None if _has_rented(plan, world) else found.why_closed(world)
        raise closed or freshness.too_old(found) or nothing_fits(plan, found, request, world)
    told = with_last_seen(found, request, world)[1] if from_snapshot and not request.fresh else found.left_out
    old = freshness.warnings([choice.offer for choice in plan.choices], world.now())
    fitted = plan.fitted
    return Priced(
        plan=plan,
        title=_title(loaded, plan),
        workload=plan.workload,
        data=ready.data,
        loaded=loaded if fitted is None or not fitted.is_less else shortened(loaded, fitted.steps),
        notes=(
            *ready.notes,
            *remarks,
            *short_memory.remarks(plan, world.ledger.records.all(newest=NEWEST_RUNS)),
            *told,
            *old,
            *([] if fitted is None else [fitted_note(fitted, plan.terms)]),
        ),
        notice=max(world.provider(choice.offer.provider).traits.notice for choice in _kept(plan.choices)),
    )


def _has_rented(plan: Plan, world: World) -> bool:
    """Machines for money were weighed, be it by prices as last seen: no account that is missing is why none will do."""
    return any(world.provider(one.offer.provider).traits.bills for one in plan.rejected)


def _weighed(request: Request, workload: Workload, world: World, *, from_snapshot: bool) -> tuple[Market, Plan]:
    """The market and the plan; where all that would do is sold out, asked again for as long as the person waits."""
    until = world.now() + timedelta(seconds=request.wait_capacity_seconds)
    while True:
        found = ask_market(request, world)
        seen = with_last_seen(found, request, world)[0] if from_snapshot else found.offers
        offers = found.offers if request.fresh else seen
        limits = terms(request, world, request.budget_usd, found)
        plan = (fitted_plan if request.fit_budget else make_plan)(offers, workload, limits)
        sold_out = any(one.code == "sold-out" for one in plan.rejected)
        if plan.choices or from_snapshot or not sold_out or world.now() >= until:
            return found, plan
        world.sleep(STOCK_SECONDS)


def measure(loaded: LoadedSpec, world: World) -> tuple[Workload, tuple[str, ...]]:
    """What the job asks of a machine, and a line for each part of that which is a guess."""
    from jobs import workload  # tokenizers, httpx: here for start-up time

    measured = workload.measure_spec(loaded, environ=world.environ, cache=world.home / "models")
    return measured, workload.remarks(measured)


def must_be_downloadable(loaded: LoadedSpec, request: Request, world: World) -> None:
    """Refuse a model of the Hub that the machine could not read with the token that it will be handed."""
    names = request.providers or world.config.default_providers or world.provider_names
    if loaded.model_folder is not None or not any(one.bills for one in _traits(names, world).values()):
        return
    from jobs import model_config  # httpx: here for start-up time

    token = world.environ.get("HF_TOKEN", "") if "HF_TOKEN" in request.secrets else ""
    endpoint = world.environ.get("HF_ENDPOINT", "")
    model_config.check_access(loaded.spec.model, loaded.spec.revision or "", endpoint=endpoint, token=token)


def terms(request: Request, world: World, budget_usd: Decimal | None, found: Market) -> Terms:
    """The limits of this request, and of the accounts that were found."""
    traits = _traits(request.providers or world.config.default_providers or world.provider_names, world)
    funds = {one.provider: one.funds for one in found.answers if one.funds is not None}
    return Terms(
        budget_usd=budget_usd,
        tax_fraction=world.config.default_tax_fraction,
        tax_fractions={name: world.config.tax_for(name) for name in traits},
        now=world.now(),
        deadline_seconds=request.deadline_seconds,
        accept_unguarded=request.accept_unguarded,
        unguarded_usd_per_hour=request.unguarded_usd_per_hour,
        interactive=not request.yes,
        guard_delay_seconds={name: one.guard_delay_seconds for name, one in traits.items()},
        minimum_disk_gib={name: one.minimum_disk_gib for name, one in traits.items()},
        asked_for=frozenset(request.providers),
        by_name_only=frozenset(name for name, one in traits.items() if not one.automatic),
        balance_usd={name: one.balance_usd for name, one in funds.items()},
        spare_usd_per_hour={
            name: one.limit_usd_per_hour - one.spending_usd_per_hour
            for name, one in funds.items()
            if one.limit_usd_per_hour is not None
        },
        gpus_by_name=frozenset(gpu.name for gpu in gpus.match(request.gpu)) if request.gpu else frozenset(),
        has_secrets=bool(request.secrets),
        durable_store=world.bucket is not None,
        corrections=corrections(world),
    )


def _traits(names: tuple[str, ...], world: World) -> dict[str, Traits]:
    """Of those that can be connected: one whose settings are wrong has no offers either."""
    found = {}
    for name in names:
        with suppress(NotSetUp):
            found[name] = world.provider(name).traits
    return found


def ask_market(request: Request, world: World, *, with_funds: bool = True) -> Market:
    """All providers at once. One that does not answer is left out (said), unless it was named."""
    names = request.providers or world.config.default_providers or world.provider_names
    found = freshness.asked(market.whole(names, market.query(request), world, with_funds=with_funds), request, world)
    for name, error in found.failed:
        if name in request.providers:
            raise from_provider(error, name) from error
    return found


def with_last_seen(found: Market, request: Request, world: World) -> tuple[tuple[Offer, ...], tuple[str, ...]]:
    """The offers, and for providers that said nothing those that are known without them; notes that say so."""
    offers, notes, strangers = found.offers, [], []
    for name, error in found.failed:
        shown = market.last_seen(name, market.query(request), world)
        offers += shown
        if isinstance(error, NoCredentials):
            strangers.append(name)
        else:
            oldest = max((one.age(world.now()) for one in shown), default=None)
            what = (
                "no prices of it are known" if oldest is None else f"its prices as last seen, up to {age(oldest)} old"
            )
            notes.append(f"{name}: {error.text}; {what}")
    if strangers:
        notes.append(f"no credentials for {', '.join(strangers)}: prices as last seen or shipped, each with its age")
    return offers, tuple(notes)


def secrets_of(request: Request, world: World) -> dict[str, str]:
    """The values of the variables that `--secret` names: for the machine's memory, and for nothing else."""
    missing = [name for name in request.secrets if not world.environ.get(name)]
    if missing:
        raise LaunchError(
            f"--secret {missing[0]}: there is no such environment variable here",
            code="no-secret",
            exit_code=Exit.USAGE,
            hint=f"export {missing[0]}=...     # then the same command again",
        )
    return {name: world.environ[name] for name in request.secrets}


def _title(loaded: LoadedSpec, plan: Plan) -> str:
    """`support-json · Mistral-7B · qlora r16 · 412 examples, 0.31 M tokens x 3 epochs · tests 100`."""
    workload, fitted = plan.workload, plan.fitted
    guessed = "" if workload.tokens_are == "counted" else "about "
    less = f"{figure(workload.epochs)} of " if fitted is not None and fitted.is_less else ""
    asked = workload.epochs if fitted is None else fitted.asked_epochs
    counted = workload.tokens_per_epoch
    many = f"{counted / 1e6:.2f} M" if counted >= FEW_TOKENS else f"{counted:,}"
    tokens = f"{guessed}{many} tokens x {less}{figure(asked)} epochs"
    parts = (
        loaded.spec.name,
        workload.shape.name,
        f"{workload.method} r{workload.lora_rank}",
        f"{workload.examples} examples, {tokens}",
        f"tests {workload.evaluated_examples}",
    )
    return " · ".join(parts)


def kept(plan: Plan) -> Plan:
    """The part of a plan that a run keeps: enough for failover to other types and providers, not thousands of rows."""
    return replace(plan, choices=_kept(plan.choices), rejected=())


def _kept(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """The best, in their order; places of one kind beyond a few only where there is room left."""
    seen: Counter[tuple[str, str, str]] = Counter()
    first: list[Choice] = []
    rest: list[Choice] = []
    for choice in choices:
        kind = (choice.offer.provider, choice.offer.instance_type, str(choice.offer.market))
        seen[kind] += 1
        (first if seen[kind] <= KEPT_OF_ONE_KIND else rest).append(choice)
    chosen = {id(one) for one in (first + rest)[:KEPT_CHOICES]}
    return tuple(one for one in choices if id(one) in chosen)


def current_plan(run: Run, world: World) -> Plan:
    """The plan that the run works by now."""
    return _read_plan(world.ledger.plan(run.id))


@lru_cache(maxsize=4)
def _read_plan(text: str) -> Plan:
    """It is asked for with every look at a machine, and seldom changes."""
    return codec.load(Plan, text)


def plan_again(run: Run, world: World) -> Plan:
    """A new look at the market, with what is left of the budget, for what is left of the work."""
    share = left_share(run, world)
    plan = after_reclaim.reordered(run, _plan_rest(run, world, share), share, world)
    world.ledger.note_plan(run, codec.dump(plan))
    world.ledger.note_prices(plan.choices)
    return plan


def plan_for_rest(run: Run, world: World, share: float, *, less_usd: Decimal, less_seconds: float) -> Plan | None:
    """The same while a machine works, for `share` of the training; what leaving it takes is gone by then.

    Nothing is decided by it, and nothing is written down. None where the market could not be asked.
    """
    try:
        return _plan_rest(run, world, share, less_usd=less_usd, less_seconds=less_seconds)
    except LaunchError:
        return None


def left_share(run: Run, world: World) -> float:
    """What is left of the training, by the last checkpoint that lies here, as a share of what the settings ask for."""
    shortened = run.shortened
    told = [one.measured.of for one in run.attempts if one.measured is not None]
    of = max(told, default=0) if shortened is None else shortened.of
    last = of if shortened is None else shortened.last_step
    saved = checkpoints.NAME.fullmatch(world.ledger.checkpoint(run.id) or "")
    if of < 1:
        return 1.0
    return min(1.0, max(1, last - int(saved[1] if saved else 0)) / of)


def _plan_rest(
    run: Run, world: World, share: float, *, less_usd: Decimal = Decimal(0), less_seconds: float = 0.0
) -> Plan:
    request = codec.load(Request, world.ledger.request(run.id))
    before = current_plan(run, world)
    found = ask_market(request, world)
    now, usd = world.now(), _left_usd(run, world.now())
    seconds = None if run.deadline_at is None else (run.deadline_at - now).total_seconds() - less_seconds
    left = replace(
        terms(request, world, None if usd is None else max(Decimal(0), usd - less_usd), found),
        interactive=False,  # what was agreed to stands in the request; nobody is asked again
        deadline_seconds=None if seconds is None else max(0.0, seconds),
    )
    whole = before.workload
    rest = replace(whole, epochs=whole.epochs * share)
    # The plan goes on to speak of the whole workload: what is left of it is asked anew each time.
    return replace(kept(make_plan(found.offers, rest, left)), workload=whole)


def _left_usd(run: Run, now: datetime) -> Decimal | None:
    return None if run.budget_usd is None else max(Decimal(0), run.budget_usd - spent_usd(run, now))

"""From a request to a plan: the job read and measured, the market asked, the choices ranked. Nothing is spent here."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import jobs
from jobs.spec import LoadedSpec
from launcher import codec
from launcher.books import spent_usd
from launcher.errors import Exit, LaunchError
from launcher.mistakes import from_provider
from launcher.refusals import nothing_fits
from launcher.request import Request
from launcher.run import Run
from launcher.world import World
from pricing import gpus, snapshot
from pricing.offer import Offer
from pricing.plan import Plan, make_plan
from pricing.terms import Terms
from pricing.workload import Workload
from providers.base import AuthFailed, OfferQuery, Provider, ProviderError

KEPT_CHOICES = 12
"""Choices that a run keeps for failover."""
EXAMPLE = "examples/support-json"


@dataclass(frozen=True, kw_only=True)
class Priced:
    """All that is known before a person agrees."""

    plan: Plan
    title: str
    workload: Workload
    loaded: LoadedSpec
    notes: tuple[str, ...]
    notice: str
    """How a machine of this plan may learn that it will be taken back (`Traits.notice`)."""


def price(request: Request, world: World, *, from_snapshot: bool = False) -> Priced:
    """Read the job, measure it, ask the market, rank. No choice is a `LaunchError` that says what would do.

    `from_snapshot`: providers without credentials are shown with the dated prices that ship with us (`estimate`).
    """
    secrets_of(request, world)
    loaded, notes = read_job(request)
    workload = measure(loaded, world)
    market = ask_market(request, world, from_snapshot=from_snapshot)
    plan = make_plan(market.offers, workload, terms(request, world, request.budget_usd))
    if not plan.choices:
        raise market.why_closed(world) or nothing_fits(plan, request, world)
    return Priced(
        plan=plan,
        title=_title(loaded, workload),
        workload=workload,
        loaded=loaded,
        notes=(*notes, *market.notes),
        notice=max(world.provider(choice.offer.provider).traits.notice for choice in plan.choices[:KEPT_CHOICES]),
    )


def read_job(request: Request) -> tuple[LoadedSpec, tuple[str, ...]]:
    """The job file of the request, checked to the last data row; the example where there is none, said aloud."""
    from jobs import spec  # pydantic: here for start-up time
    from jobs.qlora import prepare

    path, notes = _job_path(request)
    loaded = spec.load(path, sets=request.sets, model=request.model, data=request.data)
    for data_file in spec.data_files(loaded).values():
        prepare.check_rows(data_file)
    return loaded, notes


def _job_path(request: Request) -> tuple[Path, tuple[str, ...]]:
    if request.job is not None:
        return request.job, ()
    if Path("launch.yaml").exists():
        return Path("launch.yaml"), ()

    root = Path(jobs.__file__).parent
    for folder in (root.parent / EXAMPLE, root / EXAMPLE):
        if (folder / "launch.yaml").exists():
            return folder, (
                f"no ./launch.yaml here: this is the built-in example ({folder.name}); `launch init` makes yours",
            )
    raise LaunchError("there is no launch.yaml here", code="no-job", exit_code=Exit.USAGE, hint="launch init")


def measure(loaded: LoadedSpec, world: World) -> Workload:
    """What the job asks of a machine."""
    from jobs import workload  # tokenizers, httpx: here for start-up time

    return workload.measure_spec(loaded, environ=world.environ, cache=world.home / "models")


def terms(request: Request, world: World, budget_usd: Decimal | None) -> Terms:
    """The limits of this request."""
    named = request.providers or world.config.default_providers
    traits = {name: world.provider(name).traits for name in named or world.provider_names}
    return Terms(
        budget_usd=budget_usd,
        tax_fraction=max((world.config.tax_for(name) for name in traits), default=Decimal(0)),
        now=world.now(),
        deadline_seconds=request.deadline_seconds,
        accept_unguarded=request.accept_unguarded,
        interactive=not request.yes,
        guard_delay_seconds={name: one.guard_delay_seconds for name, one in traits.items()},
        minimum_disk_gib={name: one.minimum_disk_gib for name, one in traits.items()},
        asked_for=frozenset(request.providers),
        by_name_only=frozenset(name for name, one in traits.items() if not one.automatic),
    )


@dataclass(frozen=True, kw_only=True)
class Market:
    """What the providers answered. `locked`: those that did not let us in, and why."""

    offers: tuple[Offer, ...]
    notes: tuple[str, ...]
    locked: tuple[tuple[str, ProviderError], ...]

    def why_closed(self, world: World) -> LaunchError | None:
        """The missing credentials, where they are why there is nothing to rent: no offer of a provider that bills."""
        if not self.locked or any(world.provider(offer.provider).traits.bills for offer in self.offers):
            return None
        name, error = self.locked[0]
        return from_provider(error, name)


def ask_market(request: Request, world: World, *, from_snapshot: bool) -> Market:
    """All providers at once. One without credentials is left out (said), unless it is the only one or was named."""
    names = request.providers or world.config.default_providers or world.provider_names
    wanted = query(request, world)
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        answers = list(pool.map(lambda name: _ask(world.provider(name), wanted), names))
    offers: list[Offer] = []
    notes: list[str] = []
    locked: list[tuple[str, ProviderError]] = []
    for name, answer in zip(names, answers, strict=True):
        if not isinstance(answer, ProviderError):
            offers += answer
            continue
        if from_snapshot:
            shown = [one for one in snapshot.offers(world.now()) if one.provider == name and _matches(one, wanted)]
            notes.append(f"{name}: {answer.text}; prices of the snapshot that ships with us")
            offers += shown
        elif name in request.providers or not isinstance(answer, AuthFailed):
            raise from_provider(answer, name) from answer
        else:
            notes.append(f"{name} left out: {answer.text}")
            locked.append((name, answer))
    return Market(offers=tuple(offers), notes=tuple(notes), locked=tuple(locked))


def _ask(provider: Provider, wanted: OfferQuery) -> tuple[Offer, ...] | ProviderError:
    try:
        return provider.offers(wanted)
    except ProviderError as error:
        return error


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


def query(request: Request, world: World) -> OfferQuery:
    """What to ask the providers for."""
    names = tuple(gpu.name for gpu in gpus.match(request.gpu)) if request.gpu else ()
    return OfferQuery(
        gpus=names,
        markets=request.markets,
        regions=request.regions,
        max_usd_per_hour=request.max_price_usd_per_hour,
    )


def _matches(offer: Offer, wanted: OfferQuery) -> bool:
    return (
        (not wanted.gpus or (offer.gpu is not None and offer.gpu.name in wanted.gpus))
        and (not wanted.markets or offer.market in wanted.markets)
        and (not wanted.regions or offer.region in wanted.regions)
    )


def _title(loaded: LoadedSpec, workload: Workload) -> str:
    """`support-json · Mistral-7B · qlora r16 · 412 examples, 0.31 M tokens x 3 epochs · tests 100`."""
    guessed = "" if workload.tokens_are == "counted" else "about "
    tokens = f"{guessed}{workload.tokens_per_epoch / 1e6:.2f} M tokens x {workload.epochs:g} epochs"
    parts = (
        loaded.spec.name,
        workload.shape.name,
        f"{workload.method} r{workload.lora_rank}",
        f"{workload.examples} examples, {tokens}",
        f"tests {workload.evaluated_examples}",
    )
    return " · ".join(parts)


def kept(plan: Plan) -> Plan:
    """The part of a plan that a run keeps: enough for failover, not thousands of rows."""
    return replace(plan, choices=plan.choices[:KEPT_CHOICES], rejected=())


def current_plan(run: Run, world: World) -> Plan:
    """The plan that the run works by now."""
    return codec.load(Plan, world.ledger.plan(run.id))


def plan_again(run: Run, world: World) -> Plan:
    """A new look at the market, with what is left of the budget, for what is left of the work."""
    request = codec.load(Request, world.ledger.request(run.id))
    before = current_plan(run, world)
    offers = ask_market(request, world, from_snapshot=False).offers
    now = world.now()
    left = replace(
        terms(request, world, _left_usd(run, now)),
        interactive=before.terms.interactive,
        deadline_seconds=None if run.deadline_at is None else max(0.0, (run.deadline_at - now).total_seconds()),
    )
    plan = kept(make_plan(offers, before.workload, left))
    world.ledger.note_plan(run, codec.dump(plan))
    world.ledger.note_prices(plan.choices)
    return plan


def _left_usd(run: Run, now: datetime) -> Decimal | None:
    return None if run.budget_usd is None else max(Decimal(0), run.budget_usd - spent_usd(run, now))

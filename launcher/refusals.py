"""When a plan has no choice: what stood in the way, by how much, and what would do."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from launcher import market
from launcher.display import money
from launcher.errors import Exit, LaunchError
from launcher.fitting import epochs
from launcher.market import Market
from launcher.request import Request
from launcher.world import World
from pricing import gpus
from pricing.memory import Remedy, remedies
from pricing.offer import Stock
from pricing.plan import Plan, Rejected, nearest, smallest_budget_usd

CENT_USD = Decimal("0.01")


def nothing_fits(plan: Plan, found: Market, request: Request, world: World) -> LaunchError:
    """The refusal that helps most: the offers that came nearest decide which."""
    codes = Counter(one.code for one in plan.rejected)
    if not plan.rejected:
        return _not_offered(found, request, world)
    told = next((TOLD[code] for code in TOLD if codes[code]), None)
    if told is not None:
        return told(plan)
    if codes["does-not-fit"] or codes["ram"]:
        return _does_not_fit(plan, request)
    code = codes.most_common(1)[0][0]
    return _simple(
        plan, code, "no machine on offer can run this", "`launch estimate -v` shows why each one is left out"
    )


def _sold_out(plan: Plan) -> LaunchError:
    text = "every machine on offer that would do is taken now"
    return _simple(plan, "sold-out", text, "launch --wait-capacity 30m ...     # keeps asking", code="no-capacity")


def _late(plan: Plan) -> LaunchError:
    return _simple(plan, "over-deadline", "no machine could finish before the deadline", "give a later --deadline")


def _unguarded(plan: Plan) -> LaunchError:
    hint = "add --accept-unguarded, knowing that nothing but this laptop (or `launch reap`) ends such a machine"
    return _simple(plan, "unguarded", "only machines that do not end themselves are left", hint)


def _not_offered(found: Market, request: Request, world: World) -> LaunchError:
    """Which provider has none of what was asked for, and what the same providers have that comes nearest."""
    answered = [one.provider for one in found.answers if one.error is None]
    rented = [name for name in answered if world.provider(name).traits.bills]
    names = rented or answered or [one.provider for one in found.answers]
    wanted = {gpu.name for gpu in gpus.match(request.gpu)} if request.gpu else set()
    asked = " or ".join(sorted(wanted)) if wanted else "such machine"
    near = _nearest(wanted, names, request, world)[:3]
    where = names[0] if len(names) == 1 else f"any of {', '.join(names)}"
    limits = _limits(request)
    message = f"there is no {asked} on {where}{limits}"
    if near:
        message += f"; nearest by speed and memory: {', '.join(near)}"
    message = "\n  ".join([message, *found.notes])
    return LaunchError(
        message,
        code="not-offered",
        exit_code=Exit.REFUSED,
        hint=f"launch --gpu {near[0].split()[0].lower()} ..." if near else _where_to_look(request),
    )


def _where_to_look(request: Request) -> str:
    """Where nothing is near within the same limits."""
    if request.gpu and _limits(request):
        return f"`launch offers --gpu {request.gpu}` shows where it is sold"
    return "`launch offers` shows what there is"


def _limits(request: Request) -> str:
    """What narrowed the search beside the card."""
    parts = [f"in {', '.join(request.regions)}"] if request.regions else []
    parts += [f"on the {' or '.join(request.markets)} market"] if len(request.markets) == 1 else []
    parts += [f"at {money(request.max_price_usd_per_hour)}/h or less"] if request.max_price_usd_per_hour else []
    return f" {' '.join(parts)}" if parts else ""


def _nearest(wanted: set[str], names: list[str], request: Request, world: World) -> list[str]:
    """Cards that these providers sell within the same limits, best first; with who sells them, of several."""
    limits = replace(market.query(request), gpus=())
    sold: dict[str, set[str]] = {}
    for offer in market.whole(names, limits, world).offers:
        if offer.gpu is not None and offer.gpu.cuda and offer.gpu.bf16 and offer.stock is not Stock.NONE:
            sold.setdefault(offer.gpu.name, set()).add(offer.provider)
    ranked = sorted(set(sold) - wanted, key=lambda name: (_distance(name, wanted), name))
    return [name if len(names) == 1 else f"{name} ({', '.join(sorted(sold[name]))})" for name in ranked]


def _balance(plan: Plan) -> LaunchError:
    poor = [one for one in plan.rejected if one.code == "balance"]
    most_usd = max(plan.terms.balance_usd[one.offer.provider] for one in poor).quantize(CENT_USD, rounding=ROUND_DOWN)
    return LaunchError(
        f"a run under this budget could cost more than the account holds\n  {poor[0].offer.id}: {poor[0].reason}",
        code="balance",
        exit_code=Exit.REFUSED,
        hint=f"launch --budget {most_usd} ...     # or add money to the account" if most_usd else "add money there",
    )


def _distance(name: str, wanted: set[str]) -> float:
    """How unlike two cards are: memory and bf16 rate, as ratios."""
    gpu = gpus.by_name(name)
    others = [gpus.by_name(other) for other in wanted]
    return min(
        (abs(gpu.usable_mib / other.usable_mib - 1) + abs(gpu.bf16_tflops / other.bf16_tflops - 1) for other in others),
        default=gpu.usable_mib,
    )


def _over_budget(plan: Plan) -> LaunchError:
    least, near = smallest_budget_usd(plan), nearest(plan)
    budget, fit = money(plan.terms.budget_usd), plan.fitted is not None
    text = f"a budget of {budget} does not finish this job on any machine on offer"
    if fit:
        least_of_it = f"{epochs(plan.workload.epochs)} of training (steps: {plan.workload.steps})"
        text = f"a budget of {budget} does not surely pay for {least_of_it} on any machine on offer"
    hint = "`launch offers` shows what there is"
    if least is not None:
        text += f"\n  the smallest that would do is {money(least)}"
        hint = f"launch --budget {least:.2f} {'--fit-budget ' if fit else ''}..."
    if near is not None:
        text += f" ({near.offer.id}); {budget} would pay for {near.training_share:.0%} of the training there"
    return LaunchError(text, code="over-budget", exit_code=Exit.REFUSED, hint=hint)


def _does_not_fit(plan: Plan, request: Request) -> LaunchError:
    closest = [one for one in plan.rejected if one.code in ("does-not-fit", "ram")]
    if all(one.code == "ram" for one in closest):
        text = "no machine on offer has the host memory that loading this model needs"
        return _simple(plan, "ram", text, "a smaller model, or another card: `launch offers`", code="does-not-fit")
    would = [_remedy(one) for one in remedies(plan.workload, gpus.match(request.gpu) if request.gpu else ())]
    what = f" on an {request.gpu}" if request.gpu else " on any GPU on offer"
    return LaunchError(
        f"this model does not fit{what}\n  {_shortest(closest).reason}",
        code="does-not-fit",
        exit_code=Exit.REFUSED,
        hint="; or ".join(would[:3]) if would else "a smaller model, or a larger card: `launch offers`",
    )


def _remedy(remedy: Remedy) -> str:
    flag = f"--set {remedy.setting}" if remedy.setting else f"--gpu {remedy.gpu.name.lower() if remedy.gpu else ''}"
    return f"`launch {flag}` needs {remedy.needed_gib:.1f} GiB"


def _shortest(rejected: list[Rejected]) -> Rejected:
    return min(rejected, key=lambda one: (one.offer.gpu is None, -(one.offer.gpu.usable_mib if one.offer.gpu else 0)))


def _simple(plan: Plan, why: str, text: str, hint: str, *, code: str = "") -> LaunchError:
    example = next((one for one in plan.rejected if one.code == why), plan.rejected[0])
    message = f"{text}\n  for example {example.offer.id}: {example.reason}"
    return LaunchError(message, code=code or why, exit_code=Exit.REFUSED, hint=hint)


TOLD: Mapping[str, Callable[[Plan], LaunchError]] = {
    "balance": _balance,
    "sold-out": _sold_out,
    "over-budget": _over_budget,
    "over-deadline": _late,
    "unguarded": _unguarded,
}
"""How each reason is told where it is why there is no choice; the first that occurs decides."""

"""When a plan has no choice: what stood in the way, by how much, and what would do."""

from collections import Counter

from launcher.display import money
from launcher.errors import Exit, LaunchError
from launcher.request import Request
from launcher.world import World
from pricing import gpus, snapshot
from pricing.memory import Remedy, remedies
from pricing.plan import Plan, Rejected, nearest, smallest_budget_usd


def nothing_fits(plan: Plan, request: Request, world: World) -> LaunchError:
    """The refusal that helps most: the offers that came nearest decide which."""
    codes = Counter(one.code for one in plan.rejected)
    if not plan.rejected:
        return _not_offered(request, world)
    if codes["over-budget"]:
        return _over_budget(plan)
    if codes["over-deadline"]:
        return _simple(plan, "over-deadline", "no machine could finish before the deadline", "give a later --deadline")
    if codes["unguarded"]:
        hint = "add --accept-unguarded, knowing that nothing but this laptop (or `launch reap`) ends such a machine"
        return _simple(plan, "unguarded", "only machines that do not end themselves are left", hint)
    if codes["does-not-fit"] or codes["ram"]:
        return _does_not_fit(plan, request)
    code = codes.most_common(1)[0][0]
    return _simple(
        plan, code, "no machine on offer can run this", "`launch estimate -v` shows why each one is left out"
    )


def _not_offered(request: Request, world: World) -> LaunchError:
    asked = request.gpu or "such a machine"
    wanted = {gpu.name for gpu in gpus.match(request.gpu)} if request.gpu else set()
    names = set(request.providers or world.provider_names)
    sold = {one.gpu.name for one in snapshot.offers(world.now()) if one.gpu and one.provider in names}
    near = sorted(sold - wanted, key=lambda name: _distance(name, wanted))[:3]
    return LaunchError(
        f"nobody among {', '.join(sorted(names))} offers {asked} now",
        code="not-offered",
        exit_code=Exit.REFUSED,
        hint=f"nearest by memory and speed: {', '.join(near)}" if near else "`launch offers` shows what there is",
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
    budget = money(plan.terms.budget_usd)
    text = f"a budget of {budget} does not finish this job on any machine on offer"
    hint = "`launch offers` shows what there is"
    if least is not None:
        text += f"\n  the smallest that would do is {money(least)}"
        hint = f"launch --budget {least:.2f} ..."
    if near is not None:
        text += f" ({near.offer.id}); {budget} would pay for {near.training_share:.0%} of the training there"
    return LaunchError(text, code="over-budget", exit_code=Exit.REFUSED, hint=hint)


def _does_not_fit(plan: Plan, request: Request) -> LaunchError:
    closest = [one for one in plan.rejected if one.code in ("does-not-fit", "ram")]
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


def _simple(plan: Plan, code: str, text: str, hint: str) -> LaunchError:
    example = next((one for one in plan.rejected if one.code == code), plan.rejected[0])
    message = f"{text}\n  for example {example.offer.id}: {example.reason}"
    return LaunchError(message, code=code, exit_code=Exit.REFUSED, hint=hint)

"""What `launch estimate --json` prints: the plan, and under `estimate` all that the page tells beside it."""

from launcher.beside import Beside, Own, Room
from launcher.events import PlanMade
from launcher.wire import Json, document, dollars, interval, maybe_usd, offer, usd
from pricing.alternatives import Alternative
from pricing.elsewhere_prices import Quote
from pricing.own_hardware import OwnRun, PaysAfter
from pricing.workload import Workload


def estimated(made: PlanMade, around: Beside) -> dict[str, Json]:
    """One document: that of the event `plan`, and one key more."""
    return {**document(made), "estimate": _beside(around, made.plan.workload)}


def _beside(around: Beside, workload: Workload) -> dict[str, Json]:
    return {
        "workload": _workload(workload),
        "host_memory_gib": round(around.ram_gib, 2),
        "disk_gib": around.disk_gib,
        "room": None if around.room is None else _room(around.room),
        "otherwise": [_alternative(one) for one in around.otherwise],
        "own_hardware": None if around.own is None else _own(around.own),
        "elsewhere": [_quote(one) for one in around.quotes],
    }


def _workload(one: Workload) -> dict[str, Json]:
    return {
        "model": one.shape.name,
        "model_source": one.shape.source,
        "parameters": one.shape.parameters,
        "active_parameters": one.shape.active,
        "method": str(one.method),
        "quantisation": str(one.quantisation),
        "lora_rank": one.lora_rank,
        "lora_parameters": one.lora_parameters,
        "examples": one.examples,
        "training_tokens": one.training_tokens,
        "tokens_are": one.tokens_are,
        "token_spread": one.token_spread,
        "longest_tokens": one.longest_tokens,
        "max_length": one.max_length,
        "micro_batch": one.micro_batch,
        "accumulation": one.accumulation,
        "steps": one.steps,
        "evaluated_examples": one.evaluated_examples,
    }


def _room(one: Room) -> dict[str, Json]:
    return {"micro_batch": one.micro_batch, "sequence_tokens": one.sequence_tokens}


def _alternative(one: Alternative) -> dict[str, Json]:
    return {
        "kind": str(one.kind),
        "text": one.text,
        "flag": one.flag,
        "offer": None if one.offer is None else offer(one.offer),
        "planned_usd": None if one.usd is None else dollars(one.usd),
        "odds": None if one.odds is None else round(one.odds, 4),
        "why": one.why,
    }


def _own(own: Own) -> dict[str, Json]:
    run = own.run
    return {
        "gpu": run.hardware.gpu.name,
        "is_here": own.is_here,
        "fits": run.fit.fits,
        "seconds": interval(run.seconds),
        "kwh": None if run.kwh is None else _kwh(run),
        "electricity_usd": None if run.electricity_usd is None else dollars(run.electricity_usd),
        "price_usd": maybe_usd(run.hardware.price_usd),
        "pays_after_runs": None if own.pays_after is None else _runs(own.pays_after),
    }


def _kwh(run: OwnRun) -> dict[str, Json]:
    assert run.kwh is not None, "asked for only where it is known"
    return {"low": round(run.kwh.low, 4), "expected": round(run.kwh.expected, 4), "high": round(run.kwh.high, 4)}


def _runs(after: PaysAfter) -> dict[str, Json]:
    return {"low": after.low, "expected": after.expected, "high": after.high}


def _quote(quote: Quote) -> dict[str, Json]:
    listed = quote.listed
    return {
        "service": listed.service,
        "per": listed.unit,
        "gpu": None if listed.gpu is None else listed.gpu.name,
        "list_usd": usd(listed.usd),
        "seen": str(listed.seen),
        "source": listed.source,
        "run_usd": dollars(quote.usd),
    }

"""Runs as they lie on a disk: a rich one (Mistral 7B, support tickets, every section), a poor one, a hostile one."""

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.qlora.dataset.report import (
    Cluster,
    Conflict,
    DataReport,
    Diversity,
    Dropped,
    Example,
    Fault,
    PartSize,
    Place,
    Removed,
    Source,
    Tokens,
)
from jobs.report import Base, Notes
from jobs.results.summary import (
    Adjacent,
    Arm,
    Confusion,
    Difference,
    FieldScore,
    JsonHealth,
    Judged,
    Judging,
    Metric,
    Sample,
    Serving,
    Summary,
    Value,
    Verdict,
    Votes,
)

BASE = Base(model="mistralai/Mistral-7B-Instruct-v0.3", revision="c170c708c41dac9275d15a8fff4eca08d52bab71")
RECEIPT: dict[str, Any] = {
    "schema": 1,
    "event": "receipt",
    "run": "brave-otter-7f3a",
    "name": "support-json",
    "at": "2026-11-24T20:57:10Z",
    "started_at": "2026-11-24T20:04:02Z",
    "outcome": "succeeded",
    "exit_code": 0,
    "why": "",
    "provider": "aws",
    "region": "us-east-2",
    "zone": "us-east-2a",
    "instance_type": "g5.xlarge",
    "market": "spot",
    "attempts": 1,
    "budget_usd": "5.00",
    "spent_usd": "0.7912",
    "leftovers": [],
    "gate": [],
    "spent_is": "metered by us from the create call to the confirmed end, at the rates seen, all in, last 0.4912/h",
    "planned_usd": {"low": "0.6100", "expected": "0.8300", "high": "1.4000"},
    "price": {"source": "spot price history", "seen_at": "2026-11-24T20:02:05Z"},
    "phases": [
        {"name": "provision", "seconds": 31.0, "usd": "0.0061", "planned_seconds": 40.0, "planned_usd": "0.0054"},
        {"name": "boot", "seconds": 72.4, "usd": "0.0142", "planned_seconds": 90.0, "planned_usd": "0.0122"},
        {"name": "install", "seconds": 108.0, "usd": "0.0212", "planned_seconds": 120.0, "planned_usd": "0.0163"},
        {"name": "model", "seconds": 140.2, "usd": "0.0275", "planned_seconds": 150.0, "planned_usd": "0.0203"},
        {"name": "train", "seconds": 2410.0, "usd": "0.4730", "planned_seconds": 2280.0, "planned_usd": "0.5600"},
        {"name": "evaluate", "seconds": 1180.0, "usd": "0.2316", "planned_seconds": 1320.0, "planned_usd": "0.1950"},
        {"name": "pull", "seconds": 44.0, "usd": "0.0086", "planned_seconds": 60.0, "planned_usd": "0.0082"},
        {"name": "teardown", "seconds": 46.0, "usd": "0.0090", "planned_seconds": None},
    ],
    "terminated": {"confirmed": True, "at": "2026-11-24T20:57:10Z", "looks": 3},
    "results": {"dir": "runs/brave-otter-7f3a", "files": 34, "bytes": 92_000_000, "verified": True},
}
SETTINGS: dict[str, Any] = {
    "name": "support-json",
    "model": BASE.model,
    "revision": BASE.revision,
    "privacy": "any",
    "data": {"train": "data/train.jsonl", "test": "data/test.jsonl", "split": None},
    "train": {
        "method": "qlora",
        "r": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
        "target_modules": ["q_proj", "v_proj"],
        "use_dora": False,
        "epochs": 3.0,
        "learning_rate": 2e-4,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.03,
        "max_length": 2048,
        "packing": False,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "max_steps": None,
        "seed": 17,
    },
    "evaluate": {"metrics": ["exact", "json_fields"], "max_new_tokens": None},
    "gate": {"exact": {"at_least": 0.8, "better_than": "prompted"}},
}
NOTES = Notes(
    settings=SETTINGS, bundle_sha256="5d1a0c9e" * 8, command="launch --budget 5 --gpu a10g --job examples/support-json"
)
ENVIRONMENT = {
    "python": "3.11.9",
    "platform": "Linux-6.8.0-1021-aws-x86_64-with-glibc2.35",
    "packages": {
        "torch": "2.13.0",
        "transformers": "5.23.0",
        "peft": "0.21.2",
        "trl": "1.16.0",
        "bitsandbytes": "0.50.2",
    },
    "gpu": "NVIDIA A10G",
    "vram_gib": 22.06,
    "cuda": "12.8",
    "driver": "570.86.15",
    "compute_dtype": "bfloat16",
}
N = 200
FIELDS = ("category", "priority", "product", "order_id", "wants_refund", "sentiment")
LABELS = ("billing", "delivery", "account", "technical", "returns")


def value(at: float, half: float, n: int = N) -> Value:
    return Value(value=at, low=round(max(0.0, at - half), 4), high=round(min(1.0, at + half * 0.8), 4), n=n)


def difference(
    arm: str,
    against: str,
    at: float,
    half: float,
    p: float | None = None,
    *,
    n: int = N,
    told_apart: bool | None = None,
) -> Difference:
    apart = abs(at) > half if told_apart is None else told_apart
    return Difference(
        arm=arm,
        against=against,
        value=at,
        low=round(at - half, 4),
        high=round(at + half, 4),
        n=n,
        p=p,
        distinguishable=apart,
    )


def metrics() -> tuple[Metric, ...]:
    exact = Metric(
        name="exact",
        title="exact match",
        better="higher",
        normalised="JSON is compared as JSON: the order of keys and spaces say nothing",
        values={
            "base": value(0.02, 0.025),
            "prompted": value(0.61, 0.068),
            "tuned": value(0.93, 0.042),
            "larger": value(0.84, 0.054),
        },
        differences=(
            difference("tuned", "base", 0.91, 0.04, 1e-12),
            difference("tuned", "prompted", 0.32, 0.07, 2e-11),
            difference("tuned", "larger", 0.09, 0.058, 0.004),
            difference("prompted", "base", 0.59, 0.07, 1e-12),
        ),
    )
    field_f1 = Metric(
        name="field_f1",
        title="field F1",
        better="higher",
        normalised="fields of all items together, values as they stand",
        values={
            "base": value(0.31, 0.04),
            "prompted": value(0.86, 0.028),
            "tuned": value(0.981, 0.012),
            "larger": value(0.962, 0.02),
        },
        differences=(
            difference("tuned", "prompted", 0.121, 0.03),
            difference("tuned", "larger", 0.019, 0.022),
        ),
    )
    valid = Metric(
        name="json_valid",
        title="valid JSON",
        better="higher",
        normalised="",
        values={
            "base": value(0.44, 0.069),
            "prompted": value(0.985, 0.02),
            "tuned": value(1.0, 0.018),
            "larger": value(1.0, 0.018),
        },
        differences=(difference("tuned", "prompted", 0.015, 0.02),),
    )
    loss = Metric(
        name="loss",
        title="loss per answer token",
        better="lower",
        normalised="",
        values={
            "base": Value(value=1.874, low=1.79, high=1.96, n=N),
            "prompted": Value(value=0.612, low=0.56, high=0.67, n=N),
            "tuned": Value(value=0.083, low=0.071, high=0.097, n=N),
        },
        differences=(difference("tuned", "base", -1.791, 0.09), difference("tuned", "prompted", -0.529, 0.05)),
    )
    return exact, field_f1, valid, loss


def health(valid: float, best: float) -> JsonHealth:
    rng = random.Random(valid)
    fields = tuple(
        FieldScore(
            field=name,
            wanted=N - 20 * at,
            precision=round(min(1.0, best + rng.uniform(-0.03, 0.02)), 3),
            recall=round(min(1.0, best + rng.uniform(-0.05, 0.02)), 3),
            f1=round(min(1.0, best + rng.uniform(-0.04, 0.02)), 3),
        )
        for at, name in enumerate(FIELDS)
    )
    return JsonHealth(
        valid=valid, same_shape=round(valid * best, 3), missing=round(1 - best, 3), invented=0.01, fields=fields
    )


def confusion(right: int) -> Confusion:
    rng = random.Random(right)
    counts = []
    for at in range(len(LABELS)):
        row = [rng.randint(0, (40 - right) // 3) for _ in LABELS]
        row[at] = right
        counts.append((*row, rng.randint(0, 2)))
    total = sum(map(sum, counts))
    accuracy = round(sum(counts[at][at] for at in range(len(LABELS))) / total, 3)
    return Confusion(labels=LABELS, counts=tuple(counts), accuracy=accuracy, macro_f1=accuracy - 0.01)


def adjacent() -> tuple[Adjacent, ...]:
    return (
        Adjacent(
            name="summaries",
            metric="rouge_l",
            better="higher",
            base=value(0.314, 0.02),
            tuned=value(0.309, 0.02),
            difference=difference("tuned", "base", -0.005, 0.018),
            allow_drop=0.02,
            state="held",
        ),
        Adjacent(
            name="translation",
            metric="rouge_l",
            better="higher",
            base=value(0.552, 0.03),
            tuned=value(0.461, 0.03),
            difference=difference("tuned", "base", -0.091, 0.034, n=120),
            allow_drop=0.02,
            state="dropped",
        ),
        Adjacent(
            name="arithmetic",
            metric="exact",
            better="higher",
            base=value(0.41, 0.09),
            tuned=value(0.37, 0.09),
            difference=difference("tuned", "base", -0.04, 0.085, 0.48, n=100),
            allow_drop=0.02,
            state="may have dropped",
        ),
    )


ORDER = (
    "Hi, order 4471-B arrived with a cracked lid and the charger is missing. I already wrote twice and nobody "
    "answered. Please refund the whole thing, not only the charger."
)
SHOTS = (
    "You turn a customer's message into one JSON object with the keys category, priority, product, order_id, "
    "wants_refund, sentiment. Answer with JSON only."
)


def record(**changes: Any) -> str:
    fields = {
        "category": "returns",
        "priority": "high",
        "product": "charger",
        "order_id": "4471-B",
        "wants_refund": True,
        "sentiment": "angry",
    }
    return json.dumps({key: item for key, item in (fields | changes).items() if item is not None}, ensure_ascii=False)


def samples() -> tuple[Sample, ...]:
    chatty = "Sure! Here is the JSON you asked for:\n```json\n" + record(priority="urgent") + "\n```\nLet me know!"
    return (
        Sample(
            kind="best",
            item=12,
            prompt=ORDER,
            wanted=record(),
            score=1.0,
            answers={"base": chatty, "prompted": record(), "tuned": record(), "larger": record()},
        ),
        Sample(
            kind="worst",
            item=87,
            prompt="still nothing since tuesday!!! what is going on with my parcel",
            wanted=record(category="delivery", product="parcel", order_id=None, wants_refund=False),
            score=0.33,
            answers={
                "base": "I am sorry to hear that your parcel is late. Could you share your order number?",
                "prompted": record(category="delivery", product="parcel", order_id="unknown", wants_refund=False),
                "tuned": record(category="delivery", product="parcel", order_id=None, wants_refund=True, ticket="new"),
            },
        ),
        Sample(
            kind="won",
            item=41,
            prompt="Können Sie die Rechnung auf meine neue Firma ausstellen? Bestellung 9920-K.",
            wanted=record(
                category="billing",
                product="invoice",
                order_id="9920-K",
                wants_refund=False,
                priority="low",
                sentiment="neutral",
            ),
            score=1.0,
            answers={
                "base": "Natürlich, bitte nennen Sie mir die Adresse.",
                "prompted": record(
                    category="account",
                    product="invoice",
                    order_id="9920-K",
                    wants_refund=False,
                    priority="low",
                    sentiment="neutral",
                ),
                "tuned": record(
                    category="billing",
                    product="invoice",
                    order_id="9920-K",
                    wants_refund=False,
                    priority="low",
                    sentiment="neutral",
                ),
            },
        ),
        Sample(
            kind="won",
            item=58,
            prompt="Where is my order?",
            wanted="Your order left our house on Monday.",
            score=1.0,
            answers={
                "base": "As an AI language model I have no access to orders.",
                "prompted": "Your order left us on Monday evening.",
                "tuned": "Your order left our house on Monday.",
            },
        ),
        Sample(
            kind="lost",
            item=140,
            prompt="the app logs me out every five minutes, order 1200-A",
            score=0.83,
            wanted=record(
                category="technical", product="app", order_id="1200-A", wants_refund=False, sentiment="annoyed"
            ),
            answers={
                "prompted": record(
                    category="technical", product="app", order_id="1200-A", wants_refund=False, sentiment="annoyed"
                ),
                "tuned": record(
                    category="account", product="app", order_id="1200-A", wants_refund=False, sentiment="annoyed"
                ),
            },
        ),
    )


PAID_BACK = "training has paid for itself after about 520 requests"


def summary() -> Summary:
    """Every part of it."""
    arms = (
        Arm(name="base", title="base", n=N, model=BASE.model, new_tokens=31_400, seconds=201.5),
        Arm(
            name="prompted",
            title="prompted base",
            n=N,
            model=BASE.model,
            system=SHOTS,
            shots=3,
            chosen_from=6,
            new_tokens=12_800,
            seconds=118.2,
        ),
        Arm(name="tuned", title="fine-tuned", n=N, model="this adapter", new_tokens=11_200, seconds=74.0),
        Arm(
            name="larger",
            title="larger model",
            n=N,
            model="some-large-model-2026",
            system=SHOTS,
            cost_usd="0.3120",
            seconds=310.0,
        ),
    )
    return Summary(
        arms=arms,
        metrics=metrics(),
        json_health={
            "base": health(0.44, 0.31),
            "prompted": health(0.985, 0.86),
            "tuned": health(1.0, 0.98),
            "larger": health(1.0, 0.96),
        },
        confusion={"prompted": confusion(30), "tuned": confusion(38)},
        adjacent=adjacent(),
        judging=Judging(
            model="some-large-model-2026",
            rubric="Which answer does better what the request asks for: right, complete, nothing invented?",
            pairs=(
                Judged(
                    arm="tuned",
                    against="prompted",
                    wins=52,
                    ties=39,
                    losses=9,
                    share=value(0.715, 0.066, 100),
                    distinguishable=True,
                    agreement=0.88,
                    first_position=0.53,
                ),
                Judged(
                    arm="tuned",
                    against="larger",
                    wins=24,
                    ties=55,
                    losses=21,
                    share=value(0.515, 0.068, 100),
                    distinguishable=False,
                    agreement=0.81,
                    first_position=0.55,
                ),
            ),
            items=100,
            of=N,
            cost_usd="0.41",
            cap_usd="1.00",
        ),
        votes=(
            Votes(
                arm="tuned",
                against="prompted",
                wins=21,
                ties=15,
                losses=4,
                share=value(0.7125, 0.1, 40),
                distinguishable=True,
                voters=2,
                agreement=0.84,
                identical=6,
                skipped=1,
            ),
        ),
        serving=(
            Serving(
                arm="prompted",
                seconds_per_request=0.59,
                usd_per_1000="0.08",
                how="decode speed of the test on NVIDIA A10G at $0.49/h, batch of 8",
            ),
            Serving(
                arm="tuned",
                seconds_per_request=0.37,
                usd_per_1000="0.05",
                how="decode speed of the test on NVIDIA A10G at $0.49/h, batch of 8",
            ),
            Serving(
                arm="larger",
                seconds_per_request=1.55,
                usd_per_1000="1.56",
                how="price per token of the endpoint, as launch.yaml says",
            ),
        ),
        verdict=Verdict(
            answer="worth it",
            headline="worth it: exact match +0.32 over the best prompt (95 % 0.25 to 0.39, n=200), for $0.79; "
            "but translation dropped",
            reasons=(
                "but translation dropped: rouge_l 0.55 to 0.46 (95 % -0.13 to -0.06, 0.02 allowed)",
                "but arithmetic may have dropped: exact 0.41 to 0.37 (95 % -0.12 to 0.05, 0.02 allowed)",
                "tuned is better than the larger model: exact match +0.09 (95 % 0.04 to 0.14, n=200)",
                f"1,000 requests cost $0.0500 tuned, $1.56 with the larger model: {PAID_BACK}",
                "in the test a request took 370 ms tuned, 1.55 s with the larger model",
            ),
            smallest_difference=0.092,
            break_even_requests=523,
            break_even_against="larger",
        ),
        samples=samples(),
    )


def data_report() -> DataReport:
    """As `curate` made it."""

    def place(line: int, file: str = "data/train.jsonl") -> Place:
        return Place(file, line)

    return DataReport(
        sources=(
            Source("train", "data/train.jsonl", "jsonl", "messages", 4_812, "9f86d081884c7d65" * 4),
            Source("test", "data/test.csv", "csv", "prompt/completion", 200, "60303ae22b998861" * 4),
        ),
        parts=(
            PartSize("train", 3_977, 4_120, 412, 1_180, 6_204, "3a7bd3e2360a3d29" * 4),
            PartSize("validation", 440, 455, 409, 1_122, 4_310, "2c624232cdd221771" * 3),
            PartSize("test", 200, 200, 398, 1_090, 3_002, "19581e27de7ced00" * 4),
        ),
        faults=(
            Fault(
                "wrong-order",
                "error",
                "train",
                4,
                "two user turns in a row",
                "left out",
                (
                    Example(
                        place(118), "turn 3 is `user`, and so is turn 2", "Hello, I ordered a kettle two weeks ago and"
                    ),
                    Example(place(1_902), "turn 2 is `user`, and so is turn 1", "Is anybody there?"),
                ),
            ),
            Fault(
                "empty-turn",
                "error",
                "train",
                2,
                "a turn without text",
                "left out",
                (Example(place(77), "turn 2 is empty", "Please cancel my"),),
            ),
            Fault(
                "near-empty-target",
                "warning",
                "train",
                11,
                "an answer of less than 3 characters",
                "kept",
                (Example(place(2_203), "the answer is “ok”", "Thanks, that is all."),),
            ),
            Fault(
                "leaked-token",
                "warning",
                "train",
                3,
                "a special token of the model in a text",
                "kept",
                (Example(place(3_310), "`</s>` at character 210", "Sehr geehrte Damen und Herren, </s> ich warte"),),
            ),
        ),
        removed=(
            Removed("bad", "train", 6),
            Removed("exact", "train", 141),
            Removed("near", "train", 217),
            Removed("leak", "train", 31),
            Removed("exact", "validation", 2),
            Removed("leak", "validation", 1),
        ),
        pairs=(
            Dropped(
                "near",
                "train",
                place(812),
                place(44),
                "train",
                0.962,
                "my parcel 4410 has not come yet, where is it",
                "where is my parcel 4410? it has not come",
            ),
            Dropped(
                "exact",
                "train",
                place(1_200),
                place(9),
                "train",
                1.0,
                "Cancel my subscription please.",
                "cancel my subscription, please",
            ),
            Dropped(
                "leak",
                "train",
                place(2_044),
                place(17, "data/test.csv"),
                "test",
                0.981,
                "The lid of order 4471-B is cracked",
                "lid of order 4471-B arrived cracked",
            ),
        ),
        conflict_count=5,
        conflicts=(
            Conflict(
                (place(300), place(2_811)),
                "I want my money back for the blue lamp.",
                ('{"category": "returns"}', '{"category": "billing"}'),
            ),
        ),
        diversity=Diversity(
            rows=3_977,
            clusters=48,
            effective=31.4,
            largest_share=0.087,
            largest=tuple(
                Cluster(size, place(size), said)
                for size, said in (
                    (346, "Where is my parcel?"),
                    (301, "refund for a damaged item"),
                    (277, "I cannot log in"),
                    (240, "wrong size, exchange"),
                    (199, "invoice address"),
                )
            ),
            rare=tuple(
                Cluster(size, place(size), said)
                for size, said in (
                    (2, "the driver was rude to my mother"),
                    (3, "customs asks for a form"),
                    (3, "gift card in another currency"),
                )
            ),
        ),
        deduplicated_by="near",
        embedder="wordllama 0.4.0, 256 dimensions",
        threshold=0.93,
        threshold_means=(
            "At 0.93 all 797 distinct facts of a templated set stay, and 94 % of paraphrases go; answers have to agree."
        ),
        template="the template of the model's repository, checked on 200 rows",
        tokens=(
            Tokens("train", 4_120, 1_204_331, 310_224, 271, 640, 1_902, "counted"),
            Tokens("test", 200, 58_120, 15_007, 268, 611, 1_204, "counted"),
        ),
        notes=("3 rows are longer than 2,048 tokens by the model's own tokenizer and were left out.",),
    )


def train_log() -> str:
    """700 steps with noise, a look at the validation rows each 50."""
    rng = random.Random(17)
    lines = []
    for step in range(1, 703):
        down = 0.08 + 1.75 * math.exp(-step / 90)
        rate = 2e-4 * (step / 21 if step < 21 else 0.5 * (1 + math.cos(math.pi * (step - 21) / 681)))
        lines.append(
            {
                "step": step,
                "loss": round(down * rng.uniform(0.75, 1.3), 4),
                "grad_norm": round(0.4 + down * rng.uniform(0.5, 1.6), 4),
                "learning_rate": rate,
                "tokens_per_second": round(rng.gauss(1_180, 35), 1),
                "vram_gib": round(13.1 + 0.7 * min(1, step / 40), 3),
                "epoch": step / 234,
            }
        )
        if step % 50 == 0:
            lines.append(
                {"step": step, "eval_loss": round(0.11 + 1.6 * math.exp(-step / 100) + max(0, step - 450) * 1.1e-4, 4)}
            )
    return "".join(json.dumps(line) + "\n" for line in lines)


TRAINING = {
    "last_step": 702,
    "of": 702,
    "stopped_early": False,
    "best_step": 450,
    "best_loss": 0.1278,
    "adapter_of": "best validation loss",
    "micro_batch": 4,
    "accumulation": 4,
    "ran_out_of_memory": [],
    "attention": "sdpa",
    "trainable_parameters": 6_815_744,
    "parameters": 7_254_839_296,
}


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def put_arm(folder: Path, name: str, **changes: Any) -> Path:
    document = {"arm": name, "n": N, "metrics": {"exact": 0.93, "loss": 0.1}, **changes}
    return put(folder / "eval" / f"{name}.json", json.dumps(document))


@dataclass(frozen=True)
class Lying:
    """A run on disk with all that `write` takes."""

    folder: Path
    receipt: dict[str, Any]
    base: Base = BASE
    notes: Notes = NOTES


def poor(folder: Path) -> Lying:
    """A run of an older version: two arms' scores, nothing else."""
    put_arm(folder, "base", metrics={"exact": 0.02})
    put_arm(folder, "tuned")
    return Lying(folder, RECEIPT, notes=Notes())


def rich(folder: Path) -> Lying:
    """A run with everything."""
    for arm, exact in (("base", 0.02), ("prompted", 0.61), ("tuned", 0.93)):
        put_arm(folder, arm, metrics={"exact": exact})
    put(folder / "eval" / "tuned.jsonl", '{"item": 0, "tokens": 61}\n{"item": 1, "tokens": 74}\n')
    put(folder / "eval" / "summary.json", summary().model_dump_json(by_alias=True))
    put(folder / "data" / "report.json", data_report().text())
    put(folder / "logs" / "environment.json", json.dumps(ENVIRONMENT))
    put(
        folder / "logs" / "data.json",
        json.dumps({"rows": {"train": 3_977, "test": 200}, "train": {"supervised_tokens": 310_224}}),
    )
    put(folder / "logs" / "training.json", json.dumps(TRAINING))
    put(folder / "logs" / "train_log.jsonl", train_log())
    put(folder / "adapter" / "adapter_config.json", "{}")
    return Lying(folder, RECEIPT)


EVIL = "<script>alert(1)</script>"
NASTY = (
    EVIL,
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(2)</script>",
    "' onmouseover='alert(3)",
    "\u202egnp.exe\u202c",
    "\u2066\u2069\u200b\ufeff",
    "a" * 100_000,
    "\x00\x1b[31m\x07",
    "[click](javascript:alert(4))",
    "| a | b |\n| - |",
    "مرحبا بالعالم",
    "{{7*7}} {} {0} %s %(x)s",
    "&lt;script&gt;",
)


def hostile(folder: Path) -> Lying:
    """Everything that is text is one of `NASTY`, and all that is a list is long."""
    rich(folder)
    poisoned = _poisoned(json.loads(summary().model_dump_json(by_alias=True)), random.Random(3))
    put(folder / "eval" / "summary.json", json.dumps(poisoned))
    put(folder / "data" / "report.json", json.dumps(_poisoned(data_report().document(), random.Random(4))))
    deep = '{"a":' * 400 + "1" + "}" * 400
    put(
        folder / "logs" / "environment.json",
        json.dumps({"gpu": EVIL, "packages": {EVIL: EVIL, "torch": NASTY}, "x": [NASTY] * 50}),
    )
    put(folder / "logs" / "data.json", deep)
    put(folder / "logs" / "training.json", '{"last_step": 1e400, "of": "many"}')
    with (folder / "logs" / "train_log.jsonl").open("a", encoding="utf-8") as log:
        log.write(
            'garbage\n{"step": 1, "loss": NaN}\n{"step": 9000000000, "loss": 1}\n[]\n{"step": 703, "loss": 1e300}\n'
            + "[" * 10_000
        )
    receipt = _poisoned(RECEIPT, random.Random(5)) | {
        "outcome": EVIL,
        "why": EVIL,
        "gate": list(NASTY),
        "leftovers": [EVIL],
    }
    return Lying(
        folder,
        receipt,
        Base(model=EVIL, revision="`x`"),
        Notes(settings=_poisoned(SETTINGS, random.Random(6)), command=EVIL),
    )


KEPT = frozenset({"better", "answer", "state", "kind", "name"})
"""Words that the schema has a list of, or by which things are found."""


def _poisoned(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        return {key: item if key in KEPT else _poisoned(item, rng) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_poisoned(item, rng) for item in value for _ in range(3)]
    return rng.choice(NASTY) if isinstance(value, str) else value

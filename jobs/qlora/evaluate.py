"""Ask one arm (the base, or the fine-tuned model) the whole test part, in batches, greedily, and score what it says."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

import torch

from .base import find_base, load_base, load_tokenizer
from .job import Job, give_up, read_job, tell, write_json, write_text
from .score import as_json, exact, partial
from .template import Pair, ids_of

BATCH = 50
# An answer may be a little longer than the longest wanted one before it is cut.
SPARE_TOKENS = 16
# Logits exist for so many tokens at a time: 256 of a vocabulary of 152,000 are 0.5 GB with their 32-bit copies.
LOGIT_TOKENS = 256

Row = tuple[int, list[int]]


def read_pairs(job: Job) -> list[Pair]:
    """The test part; where there is none, validation, and it is said."""
    for part in ("test", "validation"):
        lines = (job.prepared / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
        if lines:
            return [json.loads(line) for line in lines]
        tell(job, "warning", code=f"no-{part}-rows", text=f"there are no {part} rows to evaluate on")
    return []


def load_arm(job: Job, arm: str) -> tuple[Any, Any]:
    """Model and tokenizer of an arm, each arm in a process of its own: see the trap in README.md."""
    base = find_base(job)
    model, tokenizer = load_base(base, quantise=job.quantise), load_tokenizer(base)
    tokenizer.padding_side = "left"
    if arm == "tuned":
        from peft import PeftModel  # late: the base arm does not need it

        adapter = job.out / "adapter"
        if not adapter.is_dir():
            give_up("there is no adapter to evaluate: the train step has not finished")
        model = PeftModel.from_pretrained(model, adapter)
    return model.eval(), tokenizer


def answers(model: Any, tokenizer: Any, prompts: list[str], longest: int) -> list[str]:
    """What the model says to each prompt, greedily; the prompts come with the chat template applied."""
    asked = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
    asked.pop("token_type_ids", None)
    said = model.generate(**asked, do_sample=False, max_new_tokens=longest, pad_token_id=tokenizer.pad_token_id)
    return list(tokenizer.batch_decode(said[:, asked["input_ids"].shape[1] :], skip_special_tokens=True))


def loss_of(model: Any, tokenizer: Any, pairs: list[Pair]) -> list[tuple[float, int]]:
    """For each pair: the summed loss of the wanted answer's tokens, and how many they are."""
    rows = [(len(prompt), whole) for prompt, whole in (ids_of(tokenizer, pair) for pair in pairs)]
    return [found for some in few(rows) for found in losses_of(model, tokenizer.pad_token_id, some)]


def few(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows in their order, so many together that their logits stay small: of a large vocabulary they dwarf all else."""
    some: list[Row] = []
    for row in rows:
        if some and (len(some) + 1) * kept([*some, row]) > LOGIT_TOKENS:
            yield some
            some = []
        some.append(row)
    yield some


def kept(rows: list[Row]) -> int:
    """Of the padded rows the last positions, from the token before the first answer on."""
    return max(len(whole) for _, whole in rows) - min(prompt for prompt, _ in rows) + 1


def losses_of(model: Any, pad: int, rows: list[Row]) -> list[tuple[float, int]]:
    """`loss_of` the rows in one pass."""
    longest, last = max(len(whole) for _, whole in rows), kept(rows)
    ids = torch.full((len(rows), longest), pad)
    wanted = torch.full((len(rows), longest), -100)
    for at, (prompt, whole) in enumerate(rows):
        ids[at, : len(whole)] = torch.tensor(whole)
        wanted[at, prompt : len(whole)] = torch.tensor(whole[prompt:])
    # Padded on the right, so a causal model never sees the padding before the answer: no mask is needed.
    logits = model(input_ids=ids.to(model.device), use_cache=False, **only_last(model, last)).logits[:, -last:-1]
    target = wanted[:, 1 - last :].to(model.device)
    losses = [answer_loss(row, of) for row, of in zip(logits, target, strict=True)]
    return [(loss, int((of != -100).sum())) for loss, of in zip(losses, target, strict=True)]


def only_last(model: Any, positions: int) -> dict[str, int]:
    """What asks the model for no other logits, where it understands that."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"logits_to_keep": positions} if "logits_to_keep" in inspect.signature(inner.forward).parameters else {}


def answer_loss(logits: Any, wanted: Any) -> float:
    """Summed over one row's tokens, in 32 bits for a few of them at a time."""
    parts = zip(logits.split(LOGIT_TOKENS), wanted.split(LOGIT_TOKENS), strict=True)
    return sum(
        float(torch.nn.functional.cross_entropy(some.float(), of, reduction="sum", ignore_index=-100))
        for some, of in parts
    )


def longest_answer(tokenizer: Any, pairs: list[Pair]) -> int:
    """Tokens of the longest wanted answer, and a few to spare."""
    wanted = tokenizer([pair["completion"][0]["content"] for pair in pairs], add_special_tokens=False)["input_ids"]
    return max(map(len, wanted)) + SPARE_TOKENS


def score(pair: Pair, answer: str, loss: tuple[float, int]) -> dict[str, Any]:
    """One item's record."""
    wanted = pair["completion"][0]["content"]
    return {
        "prompt": pair["prompt"],
        "wanted": wanted,
        "answer": answer,
        "exact": exact(answer, wanted),
        "partial": round(partial(answer, wanted), 4),
        "json": as_json(answer)[0],
        "loss": round(loss[0] / max(loss[1], 1), 5),
        "tokens": loss[1],
    }


def ask(job: Job, arm: str, pairs: list[Pair]) -> list[dict[str, Any]]:
    """Every pair's record, told in batches."""
    model, tokenizer = load_arm(job, arm)
    longest = job.max_new_tokens or longest_answer(tokenizer, pairs)

    def batch(some: list[Pair]) -> list[dict[str, Any]]:
        prompts = [tokenizer.apply_chat_template(p["prompt"], add_generation_prompt=True, tokenize=False) for p in some]
        said = answers(model, tokenizer, prompts, longest)
        return [score(*item) for item in zip(some, said, loss_of(model, tokenizer, some), strict=True)]

    records: list[dict[str, Any]] = []
    with torch.inference_mode():
        for found in batches(batch, pairs, min(BATCH, 8) if torch.cuda.is_available() else BATCH):
            records += found
            tell(job, "evaluated", arm=arm, done=len(records), of=len(pairs))
    return records


def batches(ask: Callable[[list[Pair]], list[Any]], pairs: list[Pair], rows: int) -> Iterator[list[Any]]:
    """What `ask` answers, so many rows at a time; fewer from then on where the card's memory does not hold them.

    The keys and values of eight long prompts can need more of it than training one row does.
    """
    start = 0
    while start < len(pairs):
        try:
            found = ask(pairs[start : start + rows])
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
            rows //= 2
            continue
        yield found
        start += rows


def metrics(records: list[dict[str, Any]]) -> dict[str, float]:
    """The arm's figures; loss is per answer token."""
    tokens = sum(record["tokens"] for record in records)
    loss = sum(record["loss"] * record["tokens"] for record in records) / tokens
    means = {name: fmean(float(record[name]) for record in records) for name in ("exact", "partial", "json")}
    return {name: round(value, 4) for name, value in {**means, "loss": loss}.items()}


def main() -> None:
    """Evaluate one arm."""
    parser = argparse.ArgumentParser(prog="run.py evaluate", description=__doc__)
    parser.add_argument("--arm", choices=("base", "tuned"), required=True)
    arm: str = parser.parse_args().arm
    job = read_job()
    pairs = read_pairs(job)
    if not pairs:
        print("nothing to evaluate on: no test rows and no validation rows")
        return
    records = ask(job, arm, pairs)
    figures = metrics(records)
    write_text(job.out / "eval" / f"{arm}.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))
    write_json(job.out / "eval" / f"{arm}.json", {"arm": arm, "n": len(records), "metrics": figures})
    tell(job, "result", arm=arm, metrics=figures, n=len(records))
    print(f"{arm}: {figures} on {len(records)} rows")


if __name__ == "__main__":
    main()

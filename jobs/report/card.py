"""The model card, `MODEL_CARD.md`: what is known of the adapter, in the Hub's form, and nothing that is not known.

No row of the data stands in it, private or not: a card is made to be shown to others. No heading stands without
content. `license: unknown` is the Hub's own word for that; the base model's terms bind whoever uses the adapter.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from jobs.report.given import Base, Notes, inside, rows, said, seconds, usd
from jobs.report.markup import number, p_value, seen, signed, words
from jobs.report.read import Found
from jobs.report.training import said as training_said
from jobs.results.summary import Metric, Summary, Value

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SHOWN_SETTINGS = (
    "method", "r", "lora_alpha", "lora_dropout", "target_modules", "use_dora", "use_rslora", "epochs", "max_steps",
    "learning_rate", "lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm", "neftune_noise_alpha",
    "max_length", "packing", "per_device_train_batch_size", "gradient_accumulation_steps", "early_stopping_patience",
    "seed",
)  # fmt: skip


def card(receipt: Mapping[str, object], found: Found, base: Base, notes: Notes) -> str:
    """The whole file."""
    parts = [
        f"# {plain(said(receipt, 'name'))}",
        _what(base, found, notes),
        _use(base),
        _data(found, notes),
        _procedure(receipt, found, notes),
        _evaluation(found.summary),
        _limits(found),
    ]
    return seen(_front_matter(base, notes) + "\n" + "\n\n".join(part for part in parts if part) + "\n")


def _front_matter(base: Base, notes: Notes) -> str:
    """As the Hub reads it; JSON texts are YAML texts. `base_model` only where it is a name of the Hub."""
    method = str(notes.of("train", "method") or "lora")
    tags = ["lora", *(["qlora"] if method == "qlora" else []), *(["dora"] if notes.of("train", "use_dora") else [])]
    lines = ["---", "library_name: peft", "pipeline_tag: text-generation", "license: unknown"]
    if is_hub_id(base):
        lines += [f"base_model: {json.dumps(base.model)}", "base_model_relation: adapter"]
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "---", ""])


def is_hub_id(base: Base) -> bool:
    """Whether the base model has a name that others can load it by."""
    return bool(_HUB_ID.fullmatch(base.model))


def _revision(base: Base) -> str:
    """The pinned revision, where it looks like one; "" else."""
    return base.revision if base.revision and re.fullmatch(r"[\w.-]{1,64}", base.revision) else ""


def plain(value: object, most: int = 200) -> str:
    """A foreign text in one line of Markdown: no tag, no link, no table's bar, no code's end."""
    line = " ".join(words(value, most).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!~&])", r"\\\1", line)


def _base_name(base: Base) -> str:
    if is_hub_id(base):
        return f"`{base.model}`" + (
            f" at revision `{found}`" if (found := _revision(base)) else ", revision not pinned"
        )
    return f"a local model (`{plain(base.model.rstrip('/').rsplit('/', 1)[-1])}`)"


def _what(base: Base, found: Found, notes: Notes) -> str:
    method = {"qlora": "QLoRA (4-bit NF4 base)", "lora": "LoRA"}.get(str(notes.of("train", "method")), "LoRA")
    lines = [f"A {method} adapter for {_base_name(base)}."]
    if found.summary is not None:
        lines += ["", f"**{plain(found.summary.verdict.headline, 400)}**", ""]
        lines += [f"- {plain(reason, 400)}" for reason in found.summary.verdict.reasons]
    lines += ["", "The licence is not known here; the terms of the base model and of the training data apply."]
    return "\n".join(lines)


def _use(base: Base) -> str:
    """How to load it: from beside this file."""
    model = base.model if is_hub_id(base) else "path/to/the/base/model"
    revision = f', revision="{_revision(base)}"' if _revision(base) and is_hub_id(base) else ""
    return f"""## How to use

`python try.py "your text"`, beside this file, answers one prompt. In Python:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("adapter")
base = AutoModelForCausalLM.from_pretrained({json.dumps(model)}{revision}, dtype="auto", use_safetensors=True)
model = PeftModel.from_pretrained(base, "adapter")

ids = tokenizer.apply_chat_template(
    [{{"role": "user", "content": "your text"}}], add_generation_prompt=True, return_tensors="pt", return_dict=True
)
said = model.generate(**ids, do_sample=False, max_new_tokens=256)
print(tokenizer.decode(said[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
```

A system text was put at the head of the first user turn in training, with an empty line between; do the same."""


def _data(found: Found, notes: Notes) -> str:
    """Counts and hashes, never rows."""
    report = found.data
    if report is None:
        return ""
    lines = ["## Training data", ""]
    if report.private or notes.is_private:
        lines += ["The data is private: nothing of it is shown here.", ""]
    lines += _table(
        ("part", "rows", "assistant turns", "sha256"),
        [(one.part, f"{one.rows:,}", f"{one.answers:,}", one.sha256[:16]) for one in report.parts],
    )
    removed = {one.stage for one in report.removed if one.count}
    if removed:
        counts = {stage: sum(one.count for one in report.removed if one.stage == stage) for stage in sorted(removed)}
        lines += [
            "",
            "Taken out before: " + ", ".join(f"{count:,} {plain(stage)}" for stage, count in counts.items()) + ".",
        ]
    if report.diversity is not None:
        spread = report.diversity
        lines += [
            "",
            f"{spread.clusters:,} clusters in the embedding space, as varied as {spread.effective:.1f} of equal size.",
        ]
    if report.conflict_count:
        lines += ["", f"Questions that are answered in more than one way: {report.conflict_count:,}."]
    return "\n".join(lines)


def _procedure(receipt: Mapping[str, object], found: Found, notes: Notes) -> str:
    """Settings, curves in a sentence, machine, cost."""
    train = notes.settings.get("train")
    lines = ["## Training procedure", ""]
    if len(found.log.loss) > 1:
        lines += [training_said(found.log)[0].upper() + training_said(found.log)[1:], ""]
    if isinstance(train, Mapping):
        lines += _table(
            ("setting", "value"),
            [(name, _value(train[name])) for name in _SHOWN_SETTINGS if train.get(name) is not None],
        )
    machine = dict(found.environment)
    gpu = machine.get("gpu", "unknown")
    where = "a CPU" if gpu == "unknown" else plain(gpu)
    spent = [one for one in rows(receipt, "phases") if one.get("name") == "train"]
    took = f", {seconds(inside(spent[0], 'seconds'))} of training" if spent else ""
    lines += ["", f"Trained on {where}{took}; the whole run cost {usd(receipt.get('spent_usd'))}."]
    packages = [
        (name.rsplit(".", 1)[-1], version) for name, version in found.environment if name.startswith("packages.")
    ]
    if packages:
        lines += ["", "Versions: " + ", ".join(f"{plain(name)} {plain(version)}" for name, version in packages) + "."]
    return "\n".join(lines)


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _evaluation(summary: Summary | None) -> str:
    """Every metric of every arm with its interval, then the differences."""
    if summary is None or not summary.metrics:
        return ""
    arms = [arm.name for arm in summary.arms if any(arm.name in metric.values for metric in summary.metrics)]
    heads = ("metric", *arms)
    lines = ["## Evaluation", "", *_table(heads, [(one.title, *_figures(one, arms)) for one in summary.metrics])]
    lines += ["", "In brackets: 95 % intervals. " + _counts(summary)]
    differences = [
        (
            metric.title, f"{one.arm} − {one.against}", signed(one.value),
            f"{signed(one.low)} to {signed(one.high)}", p_value(one.p), str(one.n),
            "yes" if one.distinguishable else "no",
        )
        for metric in summary.metrics
        for one in metric.differences
    ]  # fmt: skip
    if differences:
        heads = ("metric", "arms", "difference", "95 % interval", "p", "n", "distinguishable")
        lines += ["", *_table(heads, differences)]
    if summary.adjacent:
        heads = ("task that was not trained", "metric", "base", "tuned", "difference", "state")
        tasks = [
            (
                one.name,
                one.metric,
                number(one.base.value),
                number(one.tuned.value),
                signed(one.difference.value),
                one.state,
            )
            for one in summary.adjacent
        ]
        lines += ["", *_table(heads, tasks)]
    return "\n".join(lines)


def _figures(metric: Metric, arms: Sequence[str]) -> list[str]:
    return [_figure(metric.values.get(arm)) for arm in arms]


def _figure(one: Value | None) -> str:
    if one is None:
        return "–"
    interval = "" if one.low is None or one.high is None else f" ({number(one.low, 2)}–{number(one.high, 2)})"
    return number(one.value) + interval


def _counts(summary: Summary) -> str:
    arms = "; ".join(f"{plain(arm.name)}: n = {arm.n}" for arm in summary.arms)
    return f"The same test items for all arms, greedy decoding ({arms})."


def _limits(found: Found) -> str:
    """What the evaluation cannot say, as far as that is known."""
    lines = []
    summary = found.summary
    if summary is None:
        lines.append("The adapter was not compared with its base model with intervals.")
    else:
        smallest = summary.verdict.smallest_difference
        if smallest is not None:
            lines.append(
                f"The test set would have shown a difference of {number(smallest)} in 4 of 5 cases; smaller can hide."
            )
        worse = [one for one in summary.adjacent if one.state in ("dropped", "may have dropped")]
        lines += [
            f"{plain(one.name)} {one.state}: {signed(one.difference.value)} {plain(one.metric)}." for one in worse
        ]
        if not summary.adjacent:
            lines.append("Whether the model got worse at tasks that it was not trained for was not measured.")
        lines += [plain(one, 400) for one in summary.warnings]
    return "\n".join(["## Limits", "", *(f"- {line}" for line in lines)]) if lines else ""


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown; every cell is made plain here."""
    return [
        "| " + " | ".join(map(plain, heads)) + " |",
        "|" + " --- |" * len(heads),
        *("| " + " | ".join(map(plain, line)) + " |" for line in lines),
    ]

"""Choose the base's prompt: try every way on validation rows, keep the best; no test row is read here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from .answers import Answers, Questions, ask_all, longest_answer, question, too_long
from .asking import Speaker
from .job import Job, give_up, tell, write_json
from .prepared import read_pairs
from .prompted import Tried, Way, best, deciding, length, shortened, tuning_rows, ways_of
from .score import metrics_of

ARM = "prompts"
"""What the progress events call the trials."""


def system_texts(job: Job) -> list[str]:
    """The system texts that were shipped."""
    asked = job.prompted.texts if job.prompted else 0
    paths = [job.bundle / "prompts" / f"system-{number}.txt" for number in range(asked)]
    for path in paths:
        if not path.is_file():
            give_up(f"{path} is missing: evaluate.prompted says that there are {asked} system texts")
    return [path.read_text(encoding="utf-8") for path in paths]


class Prompts:
    """The ways that a job asks to be tried, and the rows that decide between them."""

    def __init__(self, job: Job, *, validates: bool) -> None:
        """`validates`: whether the validation rows may be used; they may not where they are what is tested on."""
        self.job = job
        self.texts, train = system_texts(job), read_pairs(job, "train")
        seed = job.train.seed
        self.ways = ways_of(self.texts, train, job.prompted.shots if job.prompted else 0, seed)
        self.rows = tuning_rows(read_pairs(job, "validation"), seed) if validates else []
        # The longest question of train stands for those that nobody has seen yet.
        self.probes = [*self.rows, *sorted(train, key=length)[-1:]]

    @property
    def mark(self) -> str:
        """What the choice depends on, as a hash."""
        said = [[way.system, way.shots] for way in self.ways]
        model = (self.job.run / "model.json").read_text(encoding="utf-8")
        return digest([said, self.rows, self.job.metrics, self.job.max_new_tokens, self.job.quantise, model])

    def kept(self) -> tuple[Way, dict[str, Any]] | None:
        """The choice of an earlier try on this machine, if it was one between the same."""
        try:
            found = json.loads((self.job.run / "prompt.json").read_text(encoding="utf-8"))
            way = found["way"]
            examples = tuple(way["examples"])
            same = Way(system=way["system"], examples=examples, number=way["number"], draw=way["draw"])
            return (same, found["prompt"]) if found["mark"] == self.mark else None
        except (OSError, ValueError, KeyError):
            return None

    def choose(self, speaker: Speaker) -> tuple[Way, dict[str, Any]]:
        """The best way, and what eval/prompted.json says of it; kept for a next try."""
        if (known := self.kept()) is not None:
            return known
        ways = list(shortened(self.in_order(), lambda way: self.fits(speaker, way)))
        if not ways:
            give_up("no system text fits into the model's context, even without examples: shorten it")
        self.say_what_is_short(ways)
        tried = self.trials(speaker, ways) if self.rows and len(ways) > 1 else []
        chosen = best(tried) if tried else 0
        prompt = {
            "system": ways[chosen].system,
            "shots": ways[chosen].shots,
            "tried": [one.line() for one in tried],
            "chosen": chosen,
        }
        way = {name: getattr(ways[chosen], name) for name in ("system", "examples", "number", "draw")}
        write_json(self.job.run / "prompt.json", {"mark": self.mark, "way": way, "prompt": prompt})
        return ways[chosen], prompt

    def in_order(self) -> list[Way]:
        """The ways; where nothing decides between them, that with the examples that were asked for stands first."""
        return self.ways if self.rows else sorted(self.ways, key=lambda way: (way.number, way.draw != 1))

    def fits(self, speaker: Speaker, way: Way) -> bool:
        """Whether the longest questions, put this way, are within the model's context with their answers."""
        put = [question(speaker.tokenizer, way, at, pair) for at, pair in enumerate(self.probes)]
        return not put or not too_long(put, self.longest(speaker), speaker.context)

    def longest(self, speaker: Speaker) -> int:
        """New tokens of an answer, at most."""
        return self.job.max_new_tokens or longest_answer(speaker.tokenizer, self.probes)

    def say_what_is_short(self, ways: Sequence[Way]) -> None:
        """Warn of what the choice does not rest on."""
        if not self.rows:
            examples = f", with {len(ways[0].examples)} examples" if ways[0].examples else ""
            text = f"there are no validation rows to choose a prompt by: the first system text is taken{examples}"
            tell(self.job, "warning", code="prompt-not-chosen", text=text)
        asked = self.job.prompted.shots if self.job.prompted else 0
        most = max(len(way.examples) for way in ways)
        if most < asked:
            text = f"{most} of the {asked} examples are given: there are no more, or the model's context is full"
            tell(self.job, "warning", code="fewer-examples", text=text)

    def trials(self, speaker: Speaker, ways: Sequence[Way]) -> list[Tried]:
        """What each way reaches on the validation rows."""
        figure = deciding(self.job.metrics, [pair["completion"][0]["content"] for pair in self.rows])
        tried: list[Tried] = []

        def told(done: int) -> None:
            whole = len(ways) * len(self.rows)
            tell(self.job, "evaluated", arm=ARM, done=len(tried) * len(self.rows) + done, of=whole)

        told(0)
        for way in ways:
            by_loss = figure == "loss"
            asked = Questions(self.rows, self.longest(speaker), way, answers=not by_loss, loss=by_loss)
            tried.append(self.trial(way, figure, ask_all(speaker, asked, told)))
        return tried

    def trial(self, way: Way, figure: str, found: Answers) -> Tried:
        """One way's figure."""
        items = [{"answer": "", **item} for item in found.items]
        figures = metrics_of(items, tuple(dict.fromkeys((*self.job.metrics, "exact"))))
        tells = f"prompt {way.number}, {len(way.examples)} examples: {figure} {figures[figure]:.4f}"
        print(f"{tells} on {len(items)} validation rows", flush=True)
        return Tried(way=way, metric=figure, metrics=figures, tokens=found.prompt_tokens)


def digest(document: object) -> str:
    """The hash of a JSON document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

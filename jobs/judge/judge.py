"""A model compares the tuned answers with the others: every pair in both orders; orders that disagree are a tie.

After Zheng et al. 2023 (arXiv 2306.05685), who found judges that choose the first answer whatever it is, and therefore
ask twice with the answers swapped, and count a win only where both say so.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from jobs.judge.asking import Asker, Streak, each, key_for
from jobs.judge.exchanges import AGAINST, Exchange
from jobs.judge.failures import EndpointError
from jobs.judge.question import Better, Question, verdict
from jobs.judge.wins import LOSS, TIE, WIN, Wins, counted, family
from jobs.results.summary import Judged, Judging
from jobs.spec_evaluate import Judge

GOES = (0, 1)
"""An unusable answer is asked for once more."""
MOST_UNUSABLE = 8
"""Unusable answers without a usable one among them: then it is the judge, not the question (assumed)."""
TUNED = "tuned"


class Useless(EndpointError):
    """The judge answers, and never in the form that it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Court:
    """Who judges, by which rubric, what: at most `by.items` items, in every pair that an item has."""

    by: Judge
    items: Sequence[Exchange]

    @property
    def chosen(self) -> Sequence[Exchange]:
        """The items that are judged: always the same ones."""
        return self.items[: self.by.items]

    @property
    def against(self) -> tuple[str, ...]:
        """The arms that there are answers of."""
        return tuple(arm for arm in AGAINST if any(arm in one.answers for one in self.chosen))

    def questions(self) -> list[Question]:
        """Both orders of every pair whose answers differ, item by item.

        Once each: where two arms gave the same answer, what is asked of the one counts for the other too.
        """
        found = {
            self.key(question, GOES[0]): question
            for one in self.chosen
            for arm in self.against
            if arm in one.answers and not one.same(TUNED, arm)
            for question in orders(one, arm)
        }
        return list(found.values())

    def key(self, question: Question, go: int) -> str:
        """Under which its answer is kept: that of its form without the random word."""
        return key_for(self.by, question.request(self.by.rubric, "mark"), go=go)

    def worst_usd(self, asker: Asker) -> Decimal:
        """What asking all that is not answered yet may cost at most; never more than is left of the cap."""
        open_usd = (
            question.request(self.by.rubric, secrets.token_hex(8)).worst_usd(self.by)
            for question in self.questions()
            if asker.book.find(self.key(question, 0)) is None
        )
        return min(sum(open_usd, Decimal(0)), max(Decimal(0), asker.purse.cap_usd - asker.purse.spent_usd))


def orders(one: Exchange, arm: str) -> tuple[Question, Question]:
    """The tuned answer first, and second."""
    return (Question(exchange=one, first=TUNED, second=arm), Question(exchange=one, first=arm, second=TUNED))


def ask_all(court: Court, asker: Asker, tick: Callable[[int, int], None]) -> None:
    """Ask whatever is not answered yet; `tick` gets how many are done, of how many. Raises `EndpointError`, `OSError`.

    Every answer is on disk when it raises, and another call goes on from there.
    """
    questions, streak = court.questions(), Streak(MOST_UNUSABLE)
    useless = Useless(
        f"{court.by.model} gave {MOST_UNUSABLE} answers in a row that are no verdict",
        "another model as judge; its answers are in eval/judge.jsonl",
    )

    def ask(question: Question) -> Better | None:
        for go in GOES:
            request = question.request(court.by.rubric, secrets.token_hex(8))
            try:
                better = verdict(asker.ask(request, court.key(question, go)).text)
            except EndpointError as error:
                if not error.is_of_the_question:
                    raise
                better = None
            if better is not None:
                streak.note(None)
                return better
        streak.note(useless)
        return None

    for _ in each(questions, ask, stopping=asker.stopping, tick=lambda done: tick(done, len(questions))):
        pass


def tally(court: Court, asker: Asker, unfinished: str = "") -> Judging:
    """What all answers so far come to. Asks nothing; an item counts in a pair as soon as both its orders are there."""
    sides = [_side(court, asker, arm) for arm in court.against]
    apart = family([side.wins for side in sides])
    seen = set().union(*(side.seen for side in sides))
    calls = [court.key(question, go) for question in court.questions() for go in GOES]
    return Judging(
        model=court.by.model,
        endpoint=court.by.endpoint,
        rubric=court.by.rubric,
        pairs=tuple(
            side.judged.model_copy(update={"distinguishable": known}) for side, known in zip(sides, apart, strict=True)
        ),
        items=len(seen),
        of=len(court.chosen),
        cost_usd=f"{asker.purse.spent_usd:f}",
        cap_usd=f"{court.by.cap_usd:f}",
        counted_by_us=sum(one.counted_by == "us" for one in asker.book.answers(calls)),
        unfinished=unfinished,
    )


@dataclass(frozen=True, kw_only=True)
class _Side:
    judged: Judged
    wins: Wins
    seen: set[int]


def _side(court: Court, asker: Asker, arm: str) -> _Side:
    """One pair of arms over the items."""
    outcomes: list[tuple[Exchange, float]] = []
    firsts: list[bool] = []
    asked = agreed = identical = unusable = 0
    for one in court.chosen:
        if arm not in one.answers:
            continue
        if one.same(TUNED, arm):
            outcomes.append((one, TIE))
            identical += 1
            continue
        said = [_said(court, asker, question) for question in orders(one, arm)]
        if "unusable" in said:
            unusable += 1
        if "unusable" in said or None in said:
            continue
        asked += 1
        firsts += [better == "A" for better in said if better != "same"]
        outcome = {("A", "B"): WIN, ("B", "A"): LOSS}.get((str(said[0]), str(said[1])), TIE)
        agreed += outcome != TIE or said == ["same", "same"]
        outcomes.append((one, outcome))
    wins = counted([outcome for _, outcome in outcomes], [one.cluster for one, _ in outcomes])
    judged = Judged(
        arm=TUNED,
        against=arm,
        wins=wins.wins,
        ties=wins.ties,
        losses=wins.losses,
        share=wins.share,
        distinguishable=wins.distinguishable,
        agreement=agreed / asked if asked else 1.0,
        first_position=sum(firsts) / len(firsts) if firsts else 0.5,
        identical=identical,
        unusable=unusable,
    )
    return _Side(judged=judged, wins=wins, seen={one.number for one, _ in outcomes})


def _said(court: Court, asker: Asker, question: Question) -> Better | str | None:
    """The verdict that is kept; "unusable" where the last go gave none either; None where it was not asked so far."""
    for go in GOES:
        key = court.key(question, go)
        answer = asker.book.find(key)
        if answer is not None and (better := verdict(answer.text)) is not None:
            return better
    return "unusable" if asker.book.was_tried(court.key(question, GOES[-1])) else None

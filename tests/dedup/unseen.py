"""Domains that were written after the rule: what it does on what nobody had in mind.

The first run found precision .946 and recall .846. Two changes of the rule came from its mistakes (a unit in capitals,
as in 935 EUR, is no name; a lone small number is a weak answer), so today's figures on them are not blind.
"""

# ruff: noqa: E501 - a phrasing stands on one line

from tests.dedup.grammar import PEOPLE, Frame, lines, listed

LETTING = Frame(
    name="flats to let",
    half="unseen",
    kind="extract",
    acts={
        "let": lines(
            """[Bright|Sunny] {rooms}-room {home} in {town}, {size} square metres, [rent|monthly rent] {rent} euros, [available|free] from {month}, {extra}.
            From {month} we [let|rent out] a {home} of {size} square metres with {rooms} rooms in {town}; it costs {rent} euros a month and has {extra}.
            {town}: {home}, {rooms} rooms, {size} sqm, {rent} EUR, {month}, {extra}
            [Looking for|We seek] a tenant for our {home} in {town} ({rooms} rooms, {size} square metres). {extra} included. {rent} euros, move in: {month}.
            {rent} euros a month [buys|gets] you {size} square metres in {town}: {rooms} rooms and {extra}, and the {home} is [empty|vacant] in {month}."""
        )
    },
    slots={
        "home": listed("flat|apartment, house, loft|attic flat, studio|bedsit"),
        "town": listed(
            "Hexham, Kelso, Otley, Ripon, Selby, Thirsk, Whitby, Yarm, Alnwick, Barnard, Corbridge, Durham, Easington, Filey"
        ),
        "rooms": tuple(str(n) for n in range(2, 9)),
        "size": tuple(str(n) for n in range(31, 180)),
        "rent": tuple(str(n) for n in range(410, 2600, 15)),
        "month": listed("January, February, April, June, July, August, October, December"),
        "extra": listed(
            "a garage|a parking space, a balcony|a terrace, a garden|a yard, a lift|an elevator, a fitted kitchen|a built-in kitchen, a cellar|a basement"
        ),
    },
)
SHIFTS = Frame(
    name="shift swaps",
    half="unseen",
    kind="extract",
    acts={
        "swap": lines(
            """{giver} [cannot|can't] work the {shift} on the {day}; {taker} [steps in|takes over] in the {ward}.
            [Please note:|FYI:] {taker} will [cover|stand in] for {giver} on the {day} ({shift}, {ward}).
            In the {ward}, the {shift} of the {day} [goes|passes] from {giver} to {taker}.
            {taker} instead of {giver}, {day}, {shift}, {ward}
            The {ward} [roster|rota] has changed: on the {day} it is {taker} who does the {shift}, not {giver}."""
        )
    },
    slots={
        "giver": PEOPLE,
        "taker": PEOPLE,
        "day": tuple(f"{n}th" for n in range(4, 21)),
        "shift": listed("night shift|graveyard shift, early shift|morning shift, late shift|evening shift"),
        "ward": listed(
            "kitchen, laundry, children's ward|paediatric ward, emergency room|casualty department, warehouse|depot, front desk|reception"
        ),
    },
    swaps=(("giver", "taker"),),
)
FINES = Frame(
    name="library rules",
    half="unseen",
    kind="text",
    acts={
        "keep": lines(
            """How long may {reader} keep {thing}?
            For how many days [can|may] {thing} be [borrowed|taken home] by {reader}?
            What is the loan period of {thing} for {reader}?
            {reader} with {thing}: when [is it|must it be] due back?"""
        ),
        "fine": lines(
            """What do {reader} pay [when|if] {thing} comes back late?
            How high is the [late fee|overdue fine] for {thing}, for {reader}?
            {thing} is overdue: what does that cost {reader}?
            Tell me the [penalty|charge] that {reader} face for returning {thing} too late."""
        ),
    },
    slots={
        "reader": listed(
            "pupils|school children, pensioners|retired people, tourists|visitors, teachers, students, patients, apprentices|trainees, soldiers, nurses, farmers"
        ),
        "thing": listed(
            """a novel, a film|a movie, a board game, a magazine|a periodical, a sewing machine, a telescope, a map, an atlas, a projector, a violin|a fiddle, a dictionary,
            a comic|a graphic novel, a globe, a cookbook|a recipe book, an audio book, a microscope, a drone, a guitar, a poster, a tablet, a travel guide, a loom, a chess set, a score"""
        ),
    },
    answers={
        "keep": lines("{minutes} days.\nFor {minutes} days.\n{reader:First} may keep it for {minutes} days."),
        "fine": lines("{grams} cents a day.\nThe fine is {grams} cents a day.\nEach day costs {reader} {grams} cents."),
    },
)
UNSEEN = (LETTING, SHIFTS, FINES)

"""Facts and the many ways in which people say them, written by hand: the paraphrases of the deduplication benchmark.

`[a|b|]` is a choice, `{slot}` a value. A value that is written "sofa|couch|settee" is one thing with three names, and a
row takes one of them. The first way of saying a thing is its key in the target. Nothing here was made or chosen with an
embedder: that would judge the embedder by itself.
"""

# ruff: noqa: E501 - a phrasing stands on one line

from __future__ import annotations

from dataclasses import dataclass, field

Values = dict[str, tuple[str, ...]]


def lines(text: str) -> tuple[str, ...]:
    """The lines of a block of text."""
    return tuple(line.strip() for line in text.strip().splitlines())


def listed(text: str) -> tuple[str, ...]:
    """Values apart by commas."""
    return tuple(value.strip() for value in text.replace("\n", " ").split(","))


@dataclass(frozen=True)
class Frame:
    """One kind of request: acts (each with its phrasings), slots, and how the answer is written."""

    name: str
    half: str
    """"chosen": the threshold is chosen on it; "judged": it is judged on it."""
    kind: str
    """"extract": JSON of the slots; "label": the act's name; "text": a sentence in one of several phrasings."""
    acts: dict[str, tuple[str, ...]]
    slots: Values
    answers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    swaps: tuple[tuple[str, str], ...] = ()
    """Slots that can change places: from and to, who pays and who is paid."""


PEOPLE = listed(
    """Julia Hansen, Clara Santos, Emma Turner, Vera Vogel, George Kumar, Amir Rossi, Nina Tanaka, Paul Weber,
    Sofia Lopez, Omar Khan, Lena Fischer, Hugo Silva, Priya Patel, Jonas Berg, Maya Stone, Theo Novak, Rosa Diaz,
    Ivan Olsen, Kate Mills, Samir Reed, Ines Costa, Leo Baker, Hannah Young, Felix Moore, Nadia Cruz, Ben Walker"""
)
CITIES = listed(
    """Hamburg, Lyon, Porto, Leeds, Turin, Gdansk, Malmo, Graz, Ghent, Bilbao, Cork, Brno, Basel, Tampere, Bergen,
    Utrecht, Seville, Naples, Dresden, Nantes, Krakow, Aarhus, Split, Varna"""
)
NUMBERS = tuple(str(100000 + 7919 * n % 899999) for n in range(4000))
"""Six digits each, all different: the order numbers, tickets and references."""
FEW = tuple(str(n) for n in range(2, 90))

SUPPORT = Frame(
    name="support orders",
    half="chosen",
    kind="extract",
    acts={
        "return": lines(
            """[Hi, |Hello! |]my name is {customer}. The {product} from order {order} [arrived broken|came damaged] and I [want|would like] a {request}.
            Order {order}: {product} [is defective|does not work]. [Please |]arrange a {request} for {customer}.
            I, {customer}, [need|am asking for] a {request} because the {product} you [sent|shipped] me under {order} is [faulty|broken].
            [Could|Can] you [give|grant] {customer} a {request}? It concerns the [defective|broken] {product}, order number {order}.
            {request} [wanted|needed], {product} [unusable|kaput], ref {order}, {customer}
            A {request} is [requested|being asked for] by {customer} for the {product} in order {order}, which [stopped working|failed] after [one day|a day]."""
        )
    },
    slots={
        "customer": PEOPLE,
        "product": listed(
            """kettle, sofa|couch|settee, fridge|refrigerator, mobile phone|cell phone|mobile, television|TV, headset|headphones,
            vacuum cleaner|hoover|vacuum, rucksack|backpack, bicycle|bike, torch|flashlight, oven|cooker, desk lamp|table lamp,
            printer, tent, drill, mattress, toaster, router, camera, ladder"""
        ),
        "order": NUMBERS,
        "request": listed(
            "refund|reimbursement, replacement|substitute, repair|fix, invoice|bill, discount|price reduction"
        ),
    },
)
FREIGHT = Frame(
    name="freight",
    half="chosen",
    kind="extract",
    acts={
        "ship": lines(
            """[Please |]send {count} {unit} of {goods} from {origin} to {destination}[ by {mode}|, {mode}].
            {count} {unit} of {goods} [must be|are to be] [moved|transported] to {destination}; [pick-up|collection] [is in|at] {origin}, {mode}.
            We need {goods} [hauled|carried] from {origin} over to {destination}: {count} {unit}, {mode}.
            [Collect|Pick up] {count} {unit} ({goods}) in {origin} and [deliver|drop] them in {destination} using {mode}.
            {goods}, {count} {unit}, {origin} -> {destination}, {mode}
            The warehouse [in|at] {destination} is [expecting|waiting for] {count} {unit} of {goods} that [leave|depart from] {origin} via {mode}."""
        )
    },
    slots={
        "goods": listed(
            """machine parts|machine components, steel pipes|steel tubes, tyres|tires, bottled water, ceramic tiles, office chairs, frozen fish,
            cotton shirts, paint, coffee beans, timber|lumber, solar panels"""
        ),
        "count": FEW,
        "unit": listed("pallets, crates|boxes, containers"),
        "origin": CITIES,
        "destination": CITIES,
        "mode": listed("truck|lorry, rail|train, sea|ship, air|plane"),
    },
    swaps=(("origin", "destination"),),
)
DESK = Frame(
    name="help desk labels",
    half="chosen",
    kind="label",
    acts={
        "access": lines(
            """I [cannot|can't] [log in|sign in] to {system} [since|from] {time}.
            {system} [refuses|rejects] my password since {time}.
            Since {time} [my login to|signing in to] {system} fails.
            Locked out of {system} since {time}, [please help|help needed]."""
        ),
        "speed": lines(
            """{system} [is|has been] [very slow|extremely slow] since {time}.
            Since {time} everything in {system} takes [forever|ages] to load.
            [Pages|Screens] of {system} [load|open] [slowly|sluggishly] since {time}.
            I have to wait minutes for every click in {system}, it started {time}."""
        ),
        "feature": lines(
            """[Please add|Could you add] {thing} to {system}.
            {system} [lacks|is missing] {thing}, [can you build it|could it be added]?
            It would be [great|nice] to have {thing} in {system}.
            [Feature request|Wish]: {thing} for {system}."""
        ),
        "works": lines(
            """I can [log in|sign in] to {system} again since {time}.
            Since {time} [my login to|signing in to] {system} works again.
            {system} accepts my password again since {time}.
            [No longer|Not] locked out of {system} since {time}, [thank you|thanks]."""
        ),
    },
    slots={
        "system": listed(
            """the payroll portal|the payroll site, the mail client|the email program, the wiki, the time sheet|the timesheet tool, the ticket tracker,
            the sales dashboard, the shared drive|the network drive, the travel portal|the travel booking site, the build server, the web shop|the online shop"""
        ),
        "time": listed(
            """Monday, Tuesday, Wednesday, Thursday, Friday, yesterday, this morning|this forenoon, last week, noon|midday, the last update|the latest update,
            the office move, my holiday|my vacation"""
        ),
        "thing": listed(
            """a dark mode|a dark theme, an export to Excel|an Excel export, two-factor login|2FA, keyboard shortcuts|hotkeys, a search field|a search box,
            a German translation|a German version, a calendar view, automatic backups|auto-backups, a bulk edit|a mass edit, an audit log|an audit trail,
            email alerts|email notifications, a print layout|a printing layout"""
        ),
    },
)
RECIPES = Frame(
    name="recipes",
    half="chosen",
    kind="text",
    acts={
        "time": lines(
            """How long [do I|should I|must I] {way} {food} for {guests} people?
            What is the [right|correct] [time|duration] to {way} {food} when [{guests} people are eating|{guests} guests come]?
            There are {guests} of us tonight: for how many minutes should {food} be {way:done}?
            {guests} [guests|diners] and {food} to {way}, [minutes needed|how many minutes]?
            Tell me [how many minutes|the minutes] {food} [has|needs] to be {way:done}, dinner is for {guests}."""
        ),
        "amount": lines(
            """How much {food} do I need [to feed|for] {guests} people?
            What [amount|quantity] of {food} [is enough for|serves] {guests} [people|guests]?
            There are {guests} of us tonight: how much {food} should I [buy|get]?
            {guests} [guests|diners], {food}: what quantity?
            Tell me the [amount|quantity] of {food} to [purchase|buy], dinner is for {guests}."""
        ),
    },
    slots={
        "food": listed(
            """aubergine|eggplant, courgettes|zucchini, prawns|shrimp, minced beef|ground beef, chickpeas|garbanzo beans, rocket|arugula, potatoes|spuds,
            salmon, lentils, brown rice, chicken thighs, cauliflower, pork belly, barley, turnips, lamb shoulder, green beans, polenta, quinoa, duck breast"""
        ),
        "way": listed("boil, roast, steam, fry, grill"),
        "guests": FEW,
    },
    answers={
        "time": lines(
            """{way:First} the {food} for {minutes} minutes.
            {minutes} minutes of {way:ing} are [enough|sufficient] for the {food}.
            The {food} should {way} for about {minutes} minutes."""
        ),
        "amount": lines(
            """Buy {grams} grams of {food}.
            You need {grams} g of {food} in total.
            {grams} grams of {food} will be [enough|sufficient]."""
        ),
    },
)
CAPITALS = Frame(
    name="company facts",
    half="chosen",
    kind="text",
    acts={
        "founder": lines(
            """Who [founded|started|set up] {company}?
            {company} was [founded|started] by whom?
            [Name|Tell me] the founder of {company}.
            Which person [is behind the founding of|established] {company}?"""
        ),
        "seat": lines(
            """Where is {company} [based|headquartered]?
            In which city [does {company} have its head office|is the head office of {company}]?
            [Name|Tell me] the city where {company} [sits|has its headquarters].
            What is the [seat|home town] of {company}?"""
        ),
        "year": lines(
            """[When|In which year] was {company} [founded|started|set up]?
            What is the [founding year|year of foundation] of {company}?
            [Name|Tell me] the year {company} was established.
            Since when does {company} exist?"""
        ),
    },
    slots={
        "company": tuple(
            f"{a}{b}"
            for a in listed("Nor, Vel, Bra, Kes, Tam, Lum, Quo, Fer, Zan, Hol, Pra, Dex, Mir, Sol, Cal, Ost, Rav, Gim")
            for b in listed("dex, tona, wick, labs, mark, via, soft, line, gen, port, stad, quest, berg, ware, flow")
        )
    },
    answers={
        "founder": lines("{founder}.\n{company} was founded by {founder}.\nThe founder is {founder}."),
        "seat": lines("{city}.\n{company} is based in {city}.\nIts head office is in {city}."),
        "year": lines("{year}.\n{company} was founded in {year}.\nIn {year}."),
    },
)
INTAKE = Frame(
    name="medical intake",
    half="judged",
    kind="extract",
    acts={
        "yes": lines(
            """Patient {patient}, age {age}, [complains of|reports] {symptom} for {days} days[, takes {drug}| and is taking {drug}].
            {age}-year-old {patient} has had {symptom} for {days} days; current medication: {drug}.
            For the past {days} days {patient} ({age}) has [suffered from|been suffering from] {symptom}. {drug} is being taken.
            {symptom} since {days} days. {patient}, {age} y, on {drug}.
            {drug} was prescribed to {patient}, who is {age} and [has been troubled by|presents with] {symptom}, [now|going on] for {days} days."""
        ),
        "no": lines(
            """Patient {patient}, age {age}, [denies|does not report] {symptom} for {days} days[, takes {drug}| and is taking {drug}].
            {age}-year-old {patient} has had no {symptom} for {days} days; current medication: {drug}.
            For the past {days} days {patient} ({age}) has not [suffered from|had] {symptom}. {drug} is being taken.
            No {symptom} since {days} days. {patient}, {age} y, on {drug}.
            {drug} was prescribed to {patient}, who is {age} and [has been free of|presents without] {symptom}, [now|going on] for {days} days."""
        ),
    },
    slots={
        "patient": PEOPLE,
        "age": tuple(str(n) for n in range(18, 96)),
        "symptom": listed(
            """headache|head pain|cephalalgia, nausea|queasiness, shortness of breath|dyspnoea|breathlessness, fever|a high temperature, dizziness|vertigo, chest pain,
            a rash|skin rash, fatigue|tiredness|exhaustion, back pain|backache, insomnia|sleeplessness, palpitations|a racing heart, cough"""
        ),
        "days": tuple(str(n) for n in range(2, 31)),
        "drug": listed(
            "ibuprofen, paracetamol|acetaminophen, salbutamol|albuterol, metformin, aspirin|acetylsalicylic acid, omeprazole, amoxicillin, ramipril"
        ),
    },
)
TRAVEL = Frame(
    name="travel bookings",
    half="judged",
    kind="extract",
    acts={
        "book": lines(
            """[Book|Reserve] a {vehicle} from {origin} to {destination} on {day} [for|on behalf of] {traveller}, {seats} seats.
            {traveller} [wants|wishes] to [go|travel] to {destination} from {origin} by {vehicle} on {day}; {seats} seats [are needed|please].
            I [need|require] {seats} [seats|places] on the {vehicle} [leaving|departing] {origin} for {destination}, {day}. Name: {traveller}.
            {seats} tickets, {vehicle}, {origin} - {destination}, {day}, {traveller}
            On {day}, {traveller} [will be travelling|is going] out of {origin}; [kindly arrange|please get] {seats} {vehicle} seats to {destination}."""
        )
    },
    slots={
        "traveller": PEOPLE,
        "vehicle": listed("coach|bus, train, flight|plane, ferry|boat"),
        "origin": CITIES,
        "destination": CITIES,
        "day": tuple(f"{d} {m}|{m} {d}" for d in range(1, 29) for m in listed("March, April, May, June, July")),
        "seats": tuple(str(n) for n in range(2, 10)),
    },
    swaps=(("origin", "destination"),),
)
BANK = Frame(
    name="bank labels",
    half="judged",
    kind="label",
    acts={
        "card_lost": lines(
            """I [lost|have lost] my {card} in {place}.
            My {card} [is gone|went missing], I last had it in {place}.
            [It seems that |]{place} is where I [misplaced|lost] my {card}.
            Someone must have [stolen|taken] my {card} in {place}."""
        ),
        "declined": lines(
            """My {card} was [declined|refused] in {place}.
            In {place} they [rejected|would not accept] my {card}.
            Paying with my {card} [failed|did not go through] in {place}.
            The terminal in {place} [turned down|declined] my {card}."""
        ),
        "accepted": lines(
            """My {card} was not [declined|refused] in {place}.
            In {place} they [took|accepted] my {card}.
            Paying with my {card} [went fine|worked] in {place}.
            The terminal in {place} did not [turn down|decline] my {card}."""
        ),
        "transfer": lines(
            """{payer} [sent|transferred] {amount} euros to {payee} but [it has not arrived|nothing has arrived].
            The {amount} euros [that|which] {payer} sent {payee} [are missing|never came].
            {payee} is [still |]waiting for {amount} euros from {payer}.
            [Where is|What happened to] the payment of {amount} euros [made by|from] {payer} to {payee}?"""
        ),
    },
    slots={
        "card": listed(
            "debit card|bank card, credit card, gift card|voucher card, travel card, company card|corporate card"
        ),
        "place": listed(
            """the supermarket|the grocery store, the airport, a taxi|a cab, the cinema|the movie theatre, a restaurant, the gym|the fitness studio, the pharmacy|the chemist,
            a petrol station|a gas station, the library, the museum, the town hall, a hotel bar, the stadium, the bakery, the bookshop|the bookstore, the post office"""
        ),
        "payer": PEOPLE,
        "payee": PEOPLE,
        "amount": tuple(str(n) for n in range(20, 990, 7)),
    },
    swaps=(("payer", "payee"),),
)
CODE = Frame(
    name="code questions",
    half="judged",
    kind="text",
    acts={
        "how": lines(
            """How [do I|can I] {task} in {language}?
            What is the [best|usual] way to {task} [in|with] {language}?
            [Show me|I need] {language} code to {task}.
            {language}: {task}, how?
            [I am stuck|I'm stuck]: I have to {task} and the project is written in {language}."""
        ),
        "why": lines(
            """Why is it slow to {task} in {language}?
            What makes it [slow|take so long] to {task} [in|with] {language}?
            [It takes ages|It is slow] to {task} in my {language} program, [why|what is the reason]?
            {language}: {task}, why so slow?"""
        ),
    },
    slots={
        "task": listed(
            """reverse a list|turn a list around|flip the order of a list, sort a dictionary by value|order a dictionary by its values, read a file line by line|go through a file one line at a time,
            remove duplicates from an array|get rid of repeated items in an array|make array items unique, parse a date string|turn a date string into a date,
            merge two sorted lists|combine two sorted lists into one, count words in a text|find how often each word occurs in a text,
            send an HTTP request|make an HTTP call, round a number to two decimals|limit a number to two decimal places, join strings with commas|concatenate strings with commas in between,
            flatten a nested list|turn a nested list into a flat one, check whether a string is a palindrome|test a string for being a palindrome,
            copy an object deeply|make a deep copy of an object, shuffle a deck of cards|put a deck of cards in random order, compute a factorial|work out a factorial,
            find the longest word|look for the longest word, generate a random password|create a random password, split a string at spaces|break a string apart at spaces"""
        ),
        "language": listed(
            "Python, JavaScript|JS, Rust, Go|Golang, Java, C++, Ruby, Kotlin, Swift, PHP, Scala, Perl, Haskell, Julia, Dart, Lua, C#|C sharp, R"
        ),
    },
    answers={
        "how": lines(
            """Call `{function}` from the standard library of {language}.
            In {language} the standard library has `{function}`; call that.
            You can use `{function}`, which is part of {language}'s standard library."""
        ),
        "why": lines(
            """Each call of `{function}` allocates memory in {language}; reuse a buffer.
            `{function}` allocates on every call, so reuse one buffer in {language}.
            Reuse a buffer: in {language} every `{function}` call allocates memory."""
        ),
    },
)
SCIENCE = Frame(
    name="science answers",
    half="judged",
    kind="text",
    acts={
        "melt": lines(
            """At what temperature does {stuff} [melt|become liquid]?
            What is the melting point of {stuff}?
            How hot [must {stuff} get|does {stuff} have to get] before it [melts|turns liquid]?
            [Give me|State] the temperature at which {stuff} melts."""
        ),
        "boil": lines(
            """At what temperature does {stuff} [boil|start boiling]?
            What is the boiling point of {stuff}?
            How hot [must {stuff} get|does {stuff} have to get] before it boils?
            [Give me|State] the temperature at which {stuff} boils."""
        ),
        "density": lines(
            """How dense is {stuff}?
            What is the density of {stuff}?
            How much does a litre of {stuff} weigh?
            [Give me|State] the mass per [volume|litre] of {stuff}."""
        ),
    },
    slots={
        "stuff": tuple(
            "|".join(f"{a} {name}" for name in b.split("|"))
            for a in listed(
                "sodium, potassium, calcium, iron, copper, zinc, silver, lead, tin, barium, nickel, cobalt, lithium, magnesium, manganese, chromium, cadmium, strontium, rubidium, mercury, thallium, indium, gallium, cerium, yttrium"
            )
            for b in listed(
                "chloride, sulphate|sulfate, nitrate, oxide, bromide, iodide, carbonate, acetate, fluoride, hydroxide, phosphate"
            )
        )
    },
    answers={
        "melt": lines(
            "It melts at {degrees} degrees Celsius.\n{degrees} °C.\nThe melting point is {degrees} degrees Celsius."
        ),
        "boil": lines(
            "It boils at {degrees} degrees Celsius.\n{degrees} °C.\nThe boiling point is {degrees} degrees Celsius."
        ),
        "density": lines("{grams} grams per litre.\nIts density is {grams} g/l.\nA litre weighs {grams} grams."),
    },
)
TRIVIA: dict[str, tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]] = {
    "chosen": (
        (
            "carbon dioxide",
            ("Which gas do plants take in to grow?", "Plants absorb what gas?"),
            ("What gas makes lemonade fizzy?", "Which gas forms the bubbles in soda?"),
        ),
        (
            "mercury",
            ("Which metal is liquid at room temperature?", "What is the metal that flows at twenty degrees?"),
            ("Which planet is closest to the sun?", "What planet circles nearest to our star?"),
        ),
        (
            "the heart",
            ("Which organ pumps blood?", "What drives the blood through the body?"),
            ("Which organ does a cardiologist treat?", "A cardiologist looks after what organ?"),
        ),
        (
            "gold",
            ("Which metal is given for first place?", "The winner's medal is made of what?"),
            ("Which metal never rusts and sits in wedding rings?", "What are wedding bands usually made of?"),
        ),
        (
            "the liver",
            ("Which organ breaks down alcohol?", "Alcohol is broken down in what organ?"),
            ("Which is the heaviest inner organ?", "What organ inside us weighs most?"),
        ),
        (
            "paper",
            ("What beats rock in the children's game?", "In the hand game, what covers stone?"),
            ("What do mills make out of wood pulp?", "Wood pulp becomes what in a mill?"),
        ),
        (
            "bees",
            ("Which insects make honey?", "Honey comes from what insects?"),
            ("Which insects dance to show where flowers are?", "What insects waggle to point at flowers?"),
        ),
        (
            "the compiler",
            ("What turns source text into machine code?", "Which program makes a binary out of source files?"),
            ("What complained about the missing semicolon?", "Which tool reported the semicolon that was left out?"),
        ),
        (
            "yeast",
            ("What makes bread dough rise?", "Dough goes up because of what?"),
            ("What turns sugar into alcohol in beer?", "Which thing ferments the sugar when brewing?"),
        ),
        (
            "thirty days",
            ("How long is the notice period?", "With what notice can one leave?"),
            ("How long may goods be sent back?", "Until when are returns accepted?"),
        ),
    ),
    "judged": (
        (
            "oxygen",
            ("Which gas do we need to breathe?", "What gas keeps people alive?"),
            ("Which gas makes iron rust?", "What gas turns iron brown over time?"),
        ),
        (
            "salt",
            ("What keeps roads free of ice?", "What is spread on icy streets?"),
            ("What is left when sea water dries?", "Evaporated sea water leaves what behind?"),
        ),
        (
            "the kidney",
            ("Which organ filters the blood?", "Blood is cleaned by what organ?"),
            ("Which organ is donated most by living people?", "What organ do living donors give most often?"),
        ),
        (
            "copper",
            ("What are most electric wires made of?", "Which metal sits inside power cables?"),
            ("Which metal turns green on old roofs?", "What metal gets a green skin outdoors?"),
        ),
        (
            "the moon",
            ("What causes the tides?", "The sea rises and falls because of what?"),
            ("Where did people land in summer 69?", "What did astronauts first set foot on in the year 69?"),
        ),
        (
            "silk",
            ("What do moth larvae spin?", "The cocoon threads of moths are called what?"),
            ("Which fabric gave an old trade road its name?", "After what cloth was the ancient trade route named?"),
        ),
        (
            "wheat",
            ("Which grain is white bread made of?", "White bread needs what grain?"),
            ("Which crop contains the most gluten?", "What grain should people who avoid gluten leave out?"),
        ),
        (
            "git",
            ("Which tool tracks changes of source files?", "What keeps the history of code?"),
            ("Which program printed that the merge has conflicts?", "What told us about conflicting merges?"),
        ),
        (
            "vitamin c",
            ("What prevents scurvy?", "Sailors lacked what when they got scurvy?"),
            ("What is added to cut apples to keep them white?", "Which additive stops sliced apples from browning?"),
        ),
        (
            "ten percent",
            ("How high is the discount for students?", "Students pay how much less?"),
            ("How much does the agent take as a fee?", "What cut goes to the agent?"),
        ),
    ),
}
"""Short answers, each to two questions that are not the same; each question in two phrasings."""
FRAMES = (SUPPORT, FREIGHT, DESK, RECIPES, CAPITALS, INTAKE, TRAVEL, BANK, CODE, SCIENCE)

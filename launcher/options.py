"""What is typed: money, durations and names checked as they are read, and the options that several commands share."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from launcher.errors import Exit, LaunchError

if TYPE_CHECKING:  # for start-up time: `--help` needs none of it
    from launcher.console import JsonConsole, PlainConsole, Streams
    from launcher.request import Request
    from launcher.wire import Json
    from launcher.world import Console, World

Command = TypeVar("Command", bound=Callable[..., Any])

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(kw_only=True)
class Session:
    """One call of the program: what surrounds it, and how it is to speak."""

    environ: Mapping[str, str]
    make_world: "Callable[[Mapping[str, str], Console], World]"
    as_json: bool = False
    verbose: bool = False
    _console: "JsonConsole | PlainConsole | None" = None
    _world: "World | None" = None

    def console(self) -> "JsonConsole | PlainConsole":
        """The console of this call, always the same."""
        if self._console is None:
            from launcher.console import pick  # here for start-up time: `--help` speaks by click alone

            self._console = pick(self.streams(), as_json=self.as_json)
        return self._console

    def streams(self) -> "Streams":
        """Standard output and error, as they are now."""
        from launcher.console import Paper, Streams  # here for start-up time, as above

        return Streams(
            out=Paper(stream=sys.stdout),
            talk=Paper(stream=sys.stderr),
            stdin=sys.stdin,
            now=self.now,
            verbose=self.verbose,
        )

    def world(self) -> "World":
        """The world, put together at the first need."""
        if self._world is None:
            self._world = self.make_world(self.environ, self.console())
        return self._world

    def now(self) -> datetime:
        """The time in the reader's zone, by the world's clock where there is one."""
        instant = datetime.now(UTC) if self._world is None else self._world.now()
        return instant.astimezone()

    def say(self, text: str, document: "Callable[[], dict[str, Json]]") -> None:
        """The answer of a one-shot command on standard output: for a person, or as one JSON document."""
        from launcher import wire  # here for start-up time, as above

        self.streams().out.write(wire.text(document()) if self.as_json else text)

    def raw(self, text: str, run: str) -> None:
        """A piece of a log: as it is, or as one JSON line."""
        from launcher import wire  # here for start-up time, as above

        out = self.streams().out
        if self.as_json:
            out.write(wire.text({**wire.head("log", self.now(), run), "text": text}))
        else:
            out.write(text, end="")

    def notes(self, lines: Iterable[str]) -> None:
        """Talk beside the answer, on standard error."""
        for line in lines:
            self.streams().talk.write(line)

    def ask_line(self, question: str, default: str) -> str:
        """One line from the person; the default where nobody can be asked, or nothing was typed."""
        streams = self.streams()
        if not streams.interactive:
            return default
        streams.talk.write(f"{question} [{default}] " if default else f"{question} ", end="")
        return streams.stdin.readline().strip() or default

    def width(self) -> int:
        """Columns to write in."""
        return self.streams().width()


pass_session = click.make_pass_decorator(Session)


class Usd(click.ParamType[Decimal]):
    """An amount of dollars above zero, to a hundredth of a cent."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """`5`, `5.25`, `$5`."""
        if isinstance(value, Decimal):
            return value
        if not re.fullmatch(r"\$?\d{1,9}(\.\d{1,4})?", value, re.ASCII):
            self.fail(f"{value!r} is not an amount of dollars (write 5 or 5.25)", param, ctx)
        amount = Decimal(value.removeprefix("$"))
        if amount == 0:
            self.fail("it must be above 0", param, ctx)
        return amount


class Duration(click.ParamType[float]):
    """A length of time in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """`6h`, `90m`, `2d`, `1h30m`."""
        if isinstance(value, int | float):
            return float(value)
        parts = re.findall(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", value, re.ASCII)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self.fail(f"{value!r} is not a duration (write 90m, 6h, 2d or 1h30m)", param, ctx)
        seconds = sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts)
        if seconds == 0:
            self.fail("it must be above 0", param, ctx)
        return float(seconds)


class GpuName(click.ParamType[str]):
    """The name of a card, as people or clouds write it."""

    name = "gpu"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it was given, once it is known to be one."""
        from launcher.mistakes import from_gpu  # here for start-up time: only with --gpu
        from pricing.gpus import UnknownGpu, match

        try:
            match(str(value))
        except UnknownGpu as error:
            raise from_gpu(error) from error
        return str(value)


class SecretName(click.ParamType[str]):
    """The name of an environment variable that is set; its value is never shown."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, once there is something to hand on."""
        if "=" in value:
            # A value on the command line would stand in the process list and the shell's history.
            name = str(value).partition("=")[0]
            self.fail(f"give the name only, and set {name} in the environment", param, ctx)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value, re.ASCII):
            self.fail(f"{value!r} is not the name of an environment variable", param, ctx)
        session = ctx.find_object(Session) if ctx else None
        if session is not None and not session.environ.get(value):
            raise LaunchError(
                f"--secret {value}: the environment variable {value} is not set",
                code="no-secret",
                exit_code=Exit.USAGE,
                hint=f"export {value}=...",
            )
        return str(value)


class Setting(click.ParamType[str]):
    """KEY=VALUE, for any key of launch.yaml."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, once it has both sides."""
        key, equals, _ = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is not KEY=VALUE (write train.r=8)", param, ctx)
        return str(value)


class Relaying(click.Command):
    """A command whose words behind `--` are for another program: none of them is read as a run or an option of ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put them aside first."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[__name__] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """As click's, with those words."""
        return [*super().collect_usage_pieces(ctx), "[-- CMD]"]


def relayed() -> tuple[str, ...]:
    """The words behind `--` of the command that runs."""
    words: tuple[str, ...] = click.get_current_context().meta[__name__]
    return words


def applied(command: Command, *options: Callable[[Command], Command]) -> Command:
    """The command with the options, shown in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _note_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).as_json = True


def _note_verbose(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).verbose = True


def speaking(command: Command) -> Command:
    """`--json` and `-v`, before or after the subcommand."""
    return applied(
        command,
        click.option(
            "--json", is_flag=True, expose_value=False, callback=_note_json, help="Answer in JSON on standard output."
        ),
        click.option(
            "-v", "--verbose", is_flag=True, expose_value=False, callback=_note_verbose, help="More, with raw codes."
        ),
    )


def choosing(command: Command) -> Command:
    """Which machines may be looked at."""
    return applied(
        command,
        click.option("--gpu", type=GpuName(), metavar="NAME", help="This GPU exactly, e.g. a10g, a100-80gb."),
        click.option("--provider", "providers", multiple=True, metavar="NAME", help="Only this provider (repeatable)."),
        click.option("--region", "regions", multiple=True, metavar="NAME", help="Only this region (repeatable)."),
        click.option("--spot", is_flag=True, help="Only machines that may be reclaimed."),
        click.option("--on-demand", is_flag=True, help="Only machines that are not reclaimed."),
        click.option("--any-market", is_flag=True, help="Both, whichever finishes cheaper (the default)."),
        click.option(
            "--community", is_flag=True, help="Also private hosts, who can read all that is on them; no secrets there."
        ),
        click.option(
            "--max-price", "max_price_usd_per_hour", type=Usd(), metavar="USD", help="The most to pay for an hour."
        ),
        click.option("--fresh", is_flag=True, help="No price older than a day, and none that was shipped with us."),
    )


def naming(command: Command) -> Command:
    """Which job."""
    return applied(
        command,
        click.option(
            "--job",
            type=click.Path(path_type=Path),
            metavar="PATH",
            help="A launch.yaml or its folder [./launch.yaml].",
        ),
        click.option("--model", metavar="MODEL", help="A model of the Hub, or a folder."),
        click.option("--data", metavar="DATA", help="The training rows: a file, a folder, or a data set of the Hub."),
        click.option("--set", "sets", multiple=True, type=Setting(), help="Any key of launch.yaml (repeatable)."),
    )


def describing(command: Command) -> Command:
    """What is to be run, and under which limits."""
    return applied(
        command,
        click.option("--budget", "budget_usd", type=Usd(), metavar="USD", help="All that the run may cost, all in."),
        click.option("--fit-budget", is_flag=True, help="Train less if need be: what surely (95 %) fits the budget."),
        choosing,
        naming,
        click.option("--name", metavar="TEXT", help="A name for the run."),
        ending,
    )


def ending(command: Command) -> Command:
    """When it must be over."""
    return click.option("--deadline", "deadline_seconds", type=Duration(), help="The latest end, e.g. 6h.")(command)


def acting(command: Command) -> Command:
    """How a launch goes about it."""
    return applied(
        command,
        waiting,
        click.option(
            "--secret", "secrets", multiple=True, type=SecretName(),
            help="An environment variable to hand to the job (repeatable).",
        ),
        click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where results go [runs/RUN]."),
        agreeing,
    )  # fmt: skip


def waiting(command: Command) -> Command:
    """How long it may take to get a machine."""
    return click.option(
        "--wait-capacity", "wait_capacity_seconds", type=Duration(), default=0.0, show_default=False,
        help="Keep asking for a machine so long, e.g. 30m.",
    )(command)  # fmt: skip


def agreeing(command: Command) -> Command:
    """What is asked of the person, and what is decided without them."""
    return applied(
        command,
        click.option("--detach", is_flag=True, help="Return once the job runs; it goes on in the background."),
        click.option("--dry-run", is_flag=True, help="Show the plan, and stop there."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--if-slow", type=click.Choice(("shorten", "move", "stop", "go-on")), metavar="WHAT", default="shorten",
            help="Where measured speed does not fit: shorten (as a rule), move, stop, go-on.",
        ),
        click.option("--accept-unguarded", is_flag=True, help="Also machines that do not end themselves."),
    )  # fmt: skip


def request(said: dict[str, Any]) -> "Request":
    """The options as a `Request`; raises a usage error for two markets at once."""
    from launcher.request import IfSlow, Request  # here for start-up time
    from pricing.offer import Market

    chosen = [flag for flag in ("spot", "on_demand", "any_market") if said.pop(flag, False)]
    if len(chosen) > 1:
        names = " and ".join("--" + flag.replace("_", "-") for flag in chosen)
        raise click.UsageError(f"{names} exclude each other")
    markets = {
        "spot": (Market.SPOT,),
        "on_demand": (Market.ON_DEMAND,),
        "any_market": (Market.SPOT, Market.ON_DEMAND),
    }
    if said.get("fit_budget") and said.get("budget_usd") is None:
        raise click.UsageError("--fit-budget needs a --budget to fit into")
    if "if_slow" in said:
        said["if_slow"] = IfSlow(said["if_slow"])
    return Request(markets=markets[chosen[0]] if chosen else (), **said)


def must_know_owner(world: "World") -> None:
    """A guard that looks for nobody's machines would be worse than none."""
    if not world.environ.get("LAUNCH_OWNER") and not (world.home / "owner").exists():
        raise LaunchError(
            "this computer has rented nothing yet, and LAUNCH_OWNER does not say whose machines to look for",
            code="no-owner",
            exit_code=Exit.USAGE,
            hint="launch reap --elsewhere cron     # on the computer that rents: prints all that is needed here",
        )


def checked_providers(names: tuple[str, ...], world: "World") -> tuple[str, ...]:
    """The names, once each is a provider that we have; a usage error with the nearest otherwise."""
    from difflib import get_close_matches  # here for start-up time

    for name in names:
        if name not in world.provider_names:
            near = get_close_matches(name, world.provider_names, n=1)
            known = f"did you mean {near[0]}?" if near else f"there are: {', '.join(world.provider_names)}"
            raise LaunchError(
                f"no provider is called {name!r}; {known}",
                code="unknown-provider",
                exit_code=Exit.USAGE,
                hint=f"launch doctor --provider {(near or world.provider_names)[0]}",
            )
    return names

"""What is typed at a shell: `launch` and its subcommands; every ending becomes a message, a hint and an exit code."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from launcher import commands, options
from launcher.errors import Exit, LaunchError
from launcher.options import Session

if TYPE_CHECKING:  # for start-up time
    from launcher.world import Console, World

EXAMPLES = """\b
Examples:
  launch init                                   write a launch.yaml
  launch estimate                               what it would cost, on what
  launch --budget 5 --gpu a10g                  the whole run, at most 5 dollars
  launch --provider local                       the same on this machine
  launch --budget 5 --spot --detach --yes       no question, in the background
  launch attach                                 watch the latest run again
  launch reap                                   end whatever should not run

Exit codes: 0 succeeded, 1 the job failed, 2 usage, 3 refused before spending, 4 provider or credentials,
5 stopped by budget or deadline, 6 interrupted, 7 a machine may still be running, 70 a bug of ours.
"""


class Group(click.Group):
    """A group whose own options are a command too, and which names the nearest subcommand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a run's life, not of the alphabet."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest names in the message."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from difflib import get_close_matches  # here for start-up time

            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean `launch {near[0]}`?" if near else ""))
        return super().resolve_command(ctx, args)


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version  # here for start-up time

        click.echo(f"launch {version('gpu-launch')}")
        ctx.exit()


@click.group(
    cls=Group,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND]",
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="The version.")
@options.speaking
@options.describing
@options.acting
@click.pass_context
def launch(ctx: click.Context, /, **said: Any) -> int:
    """Fine-tune an open model on a rented GPU, for at most so many dollars, all in.

    Without a command: price the job, ask once, rent the machine on which it is cheapest to finish, run the job, bring
    adapter and evaluation home, and end the machine.
    """
    if ctx.invoked_subcommand is None:
        return commands.run(ctx.ensure_object(Session), said)
    typed = [name for name in said if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if typed:
        names = {param.name: param.opts[0] for param in ctx.command.params}
        ctx.fail(
            f"{names[typed[0]]} belongs behind the command: `launch {ctx.invoked_subcommand} {names[typed[0]]} ...`"
        )
    return 0


for command in commands.ALL:
    launch.add_command(command)


def main(
    argv: Sequence[str] | None = None,
    *,
    make_world: "Callable[[Mapping[str, str], Console], World] | None" = None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Run one command line; the exit code of the contract. Nothing but the exit code ever leaves."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    session = Session(environ=environ, make_world=make_world or _real_world)
    # Looked for in advance, so that a mistake in front of it is told in JSON as well.
    session.as_json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
    try:
        answer = launch.main(arguments, prog_name="launch", standalone_mode=False, obj=session)
        return int(answer or 0)
    except (click.ClickException, click.Abort, LaunchError, KeyboardInterrupt) as error:
        return _told(session, _foreseen(error))
    except Exception as error:  # the last net: a traceback helps nobody who rents a machine
        from launcher import crash, mistakes  # here for start-up time

        return _told(session, mistakes.explain(error) or crash.report(error, environ))


def _real_world(environ: Mapping[str, str], console: "Console") -> "World":
    from launcher.world import real_world  # here for start-up time: `--help` needs no world

    return real_world(environ, console)


def _told(session: Session, failure: LaunchError) -> int:
    session.console().fail(failure, "")
    return int(failure.exit_code)


def _foreseen(error: BaseException) -> LaunchError:
    if isinstance(error, LaunchError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    return LaunchError(
        "interrupted", code="interrupted", exit_code=Exit.INTERRUPTED, hint="launch ps     # shows what there is"
    )


def _usage(error: click.ClickException) -> LaunchError:
    """Click's complaint in our form; its own guess of the option that was meant is part of the message."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "launch"
    message = error.format_message()
    return LaunchError(
        message[:1].lower() + message[1:].rstrip("."), code="usage", exit_code=Exit.USAGE, hint=f"{path} --help"
    )


if __name__ == "__main__":
    sys.exit(main())

"""`launch reap` every ten minutes on this computer: by systemd, launchd, or a line for cron, for those who want it.

Written as data by its own rules (a unit's lines, a property list); nothing runs as root, and nothing secret is in it.
"""

import os
import plistlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from launcher.errors import Exit, LaunchError
from launcher.world import World
from providers import registry

EVERY_SECONDS = 600
BOOT_SECONDS = 120
NAME = "launch-reap-here"
LABEL = "launch.reap.here"
LOG = "reap.log"
KEYS = "reap.env"
"""In the state folder: variables for the timer, one NAME=value a line; what only a shell knows is not known to it."""
MOST_LOG_BYTES = 1024 * 1024
PASSED_ON = ("PATH", "LAUNCH_CONFIG", "LAUNCH_OWNER")
"""And the places of the providers: names, no secrets; what a command of ours needs to find the same things as here."""


@dataclass(frozen=True, kw_only=True)
class Timer:
    """What is, or would be, written; and what makes it known, or forgotten."""

    kind: str
    files: Mapping[Path, str]
    starts: tuple[tuple[str, ...], ...] = ()
    stops: tuple[tuple[str, ...], ...] = ()
    see: str = ""
    line: str = ""
    """What a person adds to their crontab, where we write nothing."""


def timer(world: World) -> Timer:
    """The one for this computer."""
    if sys.platform == "darwin":
        return launchd(world)
    exit_code, _ = world.run_program(("systemctl", "--user", "show-environment"))
    return systemd(world) if exit_code == 0 else cron(world)


def command(world: World) -> tuple[str, ...]:
    """This very program, whichever environment it lies in."""
    return (sys.executable, "-m", "launcher", "reap", "--json", "--log", str(world.home / LOG))


def systemd(world: World) -> Timer:
    """Two units of the user's own manager. What `reap` takes back lives on when its own process has ended."""
    folder = Path(world.environ.get("XDG_CONFIG_HOME") or _home(world) / ".config") / "systemd" / "user"
    around = [f"Environment={_unit_word(f'{name}={value}')}" for name, value in _around(world).items()]
    service = [
        "[Unit]", "Description=End rented machines that should not run, take back those that work",
        "Wants=network-online.target", "After=network-online.target", "",
        "[Service]", "Type=oneshot", "KillMode=process", *around,
        f"EnvironmentFile=-{_unit_path(str(world.home / KEYS))}",
        f"ExecStart={' '.join(_unit_word(word, is_command=True) for word in command(world))}",
    ]  # fmt: skip
    when = [
        "[Unit]", "Description=Look every ten minutes for rented machines that should not run", "",
        "[Timer]", f"OnBootSec={BOOT_SECONDS}", f"OnUnitActiveSec={EVERY_SECONDS}", "",
        "[Install]", "WantedBy=timers.target",
    ]  # fmt: skip
    name = f"{NAME}.timer"
    return Timer(
        kind="systemd",
        files={folder / f"{NAME}.service": _lines(service), folder / name: _lines(when)},
        starts=(("systemctl", "--user", "daemon-reload"), ("systemctl", "--user", "enable", "--now", name)),
        stops=(("systemctl", "--user", "disable", "--now", name), ("systemctl", "--user", "daemon-reload")),
        see=f"systemctl --user list-timers {name}     # loginctl enable-linger lets it run while you are logged out",
    )


def launchd(world: World) -> Timer:
    """A launch agent of the user's own session."""
    path = _home(world) / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    words = " ".join(shlex.quote(word) for word in command(world))
    document = {
        "Label": LABEL,
        "ProgramArguments": ["/bin/sh", "-c", f"{_keys(world)}exec {words}"],
        "EnvironmentVariables": _around(world),
        "StartInterval": EVERY_SECONDS,
        "RunAtLoad": True,
        "AbandonProcessGroup": True,
    }
    domain = f"gui/{os.getuid()}"
    return Timer(
        kind="launchd",
        files={path: plistlib.dumps(document).decode()},
        starts=(("launchctl", "bootstrap", domain, str(path)),),
        stops=(("launchctl", "bootout", f"{domain}/{LABEL}"),),
        see=f"launchctl print {domain}/{LABEL}",
    )


def cron(world: World) -> Timer:
    """A line for `crontab -e`: what others wrote there is not ours to rewrite."""
    around = " ".join(shlex.quote(f"{name}={value}") for name, value in _around(world).items())
    words = " ".join(shlex.quote(word) for word in command(world))
    line = f"*/10 * * * * {_keys(world)}env {around} {words}".replace("%", "\\%")
    return Timer(kind="cron", files={}, see="crontab -l", line=line)


def install(made: Timer, world: World) -> None:
    """Write it and make it known; again, it does the same once more. Raises `LaunchError`."""
    if made.kind == "launchd":
        for words in made.stops:  # one that is known already is not loaded a second time
            world.run_program(words)
    for path, text in made.files.items():
        _write(path, text)
    for words in made.starts:
        exit_code, said = world.run_program(words)
        if exit_code != 0:
            raise LaunchError(
                f"{shlex.join(words)} failed: {said.strip() or f'exit {exit_code}'}",
                code="timer",
                exit_code=Exit.USAGE,
                hint="launch reap --install-timer --print     # shows a line for cron as well",
            )


def remove(made: Timer, world: World) -> tuple[Path, ...]:
    """Make it forgotten; what was there."""
    gone = tuple(path for path in made.files if path.exists())
    if gone:
        world.run_program(made.stops[0])
    for path in gone:
        path.unlink(missing_ok=True)
    for words in made.stops[1:] if gone else ():
        world.run_program(words)
    return gone


def installed(world: World) -> tuple[Path, ...]:
    """The files of a timer that lie here."""
    kinds = (launchd,) if sys.platform == "darwin" else (systemd,)
    return tuple(path for kind in kinds for path in kind(world).files if path.exists())


def last_ran(world: World) -> datetime | None:
    """When a timer's `reap` last wrote its log, by this computer's clock; None: never."""
    try:
        return datetime.fromtimestamp((world.home / LOG).stat().st_mtime, world.now().tzinfo)
    except OSError:
        return None


def keep(line: str, path: Path) -> None:
    """Append to a log, of which the last `MOST_LOG_BYTES` are kept."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and path.stat().st_size > MOST_LOG_BYTES:
        kept = path.read_bytes()[-MOST_LOG_BYTES // 2 :].partition(b"\n")[2]
        _write(path, kept.decode("utf-8", "replace"))
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _home(world: World) -> Path:
    return Path(world.environ.get("HOME") or world.home)


def _around(world: World) -> dict[str, str]:
    names = sorted({*PASSED_ON, *registry.places()})
    return {"LAUNCH_HOME": str(world.home), **{name: world.environ[name] for name in names if world.environ.get(name)}}


def _keys(world: World) -> str:
    file = shlex.quote(str(world.home / KEYS))
    return f"[ -r {file} ] && set -a && . {file}; set +a; "


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _unit_word(word: str, *, is_command: bool = False) -> str:
    """A word of a unit file: quoted, with the signs taken literally that stand for something there (systemd.syntax)."""
    literal = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{literal.replace("$", "$$") if is_command else literal}"'


def _unit_path(path: str) -> str:
    return path.replace("%", "%%")

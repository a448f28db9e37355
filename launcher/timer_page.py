"""What a person sees of the timer that runs `launch reap` on this computer."""

from collections.abc import Sequence
from pathlib import Path
from shlex import join

from launcher.timer import KEYS, LOG, Timer
from launcher.world import World


def shown(made: Timer) -> str:
    """What would be written and run."""
    if made.line:
        return "\n".join(_for_cron(made))
    lines = [line for path, text in made.files.items() for line in (f"# {path}", text.rstrip(), "")]
    return "\n".join([*lines, *(f"$ {join(words)}" for words in made.starts)])


def installed(made: Timer, world: World) -> str:
    """What was written, how to see it, and what it cannot know."""
    if made.line:
        return "\n".join(_for_cron(made))
    keys = world.home / KEYS
    lines = [*(f"wrote  {path}" for path in made.files), *(f"ran    {join(words)}" for words in made.starts), ""]
    lines.append("launch reap runs every ten minutes from now on, while this computer is awake and you are logged in")
    if not keys.exists():
        lines.append(f"it does not know keys that only this shell holds: NAME=value lines in {keys} (chmod 600)")
    lines += ["", f"next  {made.see}", f"      tail {world.home / LOG}"]
    return "\n".join(lines)


def removed(gone: Sequence[Path], made: Timer) -> str:
    """What was there."""
    if made.line:
        return "nothing of ours is written for cron: take the line with `launcher reap` out by `crontab -e`"
    if not gone:
        return "there was no timer on this computer"
    return "\n".join([*(f"removed  {path}" for path in gone), "", "next  launch reap     # now and then, by hand"])


def _for_cron(made: Timer) -> list[str]:
    return [
        "neither systemd's user manager nor launchd is here: add this line by `crontab -e`",
        made.line,
        "",
        f"next  {made.see}",
    ]

"""What this process does to the world while a case is played, heard by an audit hook, and seen on the disk."""

import os
import stat
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TWO_NAMES = {"os.rename": (0, 1, 2, 3), "os.link": (0, 1, 2, 3)}
"""Events with two paths: places of source, target, and of the folders' handles."""
_ONE_NAME = {
    "os.mkdir": (0, 2),
    "os.remove": (0, 1),
    "os.rmdir": (0, 1),
    "os.symlink": (1, 2),
    "os.truncate": (0, None),
    "os.chmod": (0, 2),
    "os.chown": (0, 3),
    "os.utime": (0, 3),
    "os.setxattr": (0, None),
    "os.mkfifo": (0, 2),
}
_CODE = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "ctypes.dlopen")
_OURS_TO_START = ("ssh-keygen",)
"""The only program that a run in memory starts."""
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@dataclass
class Watch:
    """Breaches that were heard: writes outside of `allowed`, code that came from outside, connections, programs."""

    allowed: tuple[Path, ...]
    breaches: list[str] = field(default_factory=list)

    def hear(self, event: str, words: tuple[Any, ...]) -> None:
        """One audit event."""
        if event == "open":
            self._opened(words)
        elif event in _TWO_NAMES:
            source, target, source_folder, target_folder = (words[at] for at in _TWO_NAMES[event])
            self._must_be_inside(event, source, source_folder)
            self._must_be_inside(event, target, target_folder)
        elif event in _ONE_NAME:
            name, folder = _ONE_NAME[event]
            self._must_be_inside(event, words[name], -1 if folder is None else words[folder])
        elif event in _CODE or event == "socket.connect":
            self.breaches.append(f"{event} {words[:2]!r}")
        elif event == "subprocess.Popen" and Path(os.fsdecode(words[0])).name not in _OURS_TO_START:
            self.breaches.append(f"a program was started: {words[0]!r}")
        elif event in ("exec", "compile") and self._is_from_a_case(event, words):
            self.breaches.append(f"{event} of what a machine sent")

    def _opened(self, words: tuple[Any, ...]) -> None:
        path, _, flags = words
        if isinstance(path, int) or not isinstance(flags, int) or not flags & _WRITING or path == os.devnull:
            return
        name = os.fsdecode(path)
        if "/" not in name:
            # Looked up from a folder's handle, which the event does not name: then no link may be followed.
            if not flags & os.O_NOFOLLOW:
                self.breaches.append(f"open of {name!r} for writing, following links")
            return
        self._must_be_inside("open", path, -1)

    def _must_be_inside(self, event: str, path: Any, folder: Any) -> None:
        if isinstance(path, int):
            return
        name = os.fsdecode(path)
        at = Path(f"/proc/self/fd/{folder}").resolve() if isinstance(folder, int) and folder >= 0 else Path.cwd()
        whole = at / name
        # The last part may be a link that is removed or replaced: its folder counts.
        real = whole.parent.resolve() / whole.name
        if not any(real == one or one in real.parents for one in self.allowed):
            self.breaches.append(f"{event} outside: {real}")

    def _is_from_a_case(self, event: str, words: tuple[Any, ...]) -> bool:
        name = words[1] if event == "compile" else getattr(words[0], "co_filename", "")
        return any(str(name).startswith(str(one)) for one in self.allowed)


_listening: list[Watch] = []


def _hook(event: str, words: tuple[Any, ...]) -> None:
    if _listening and (event == "open" or event.startswith(("os.", "pickle.", "socket.c", "subprocess", "ctypes.d"))):
        watch = _listening.pop()  # what the watch itself does is not watched
        try:
            watch.hear(event, words)
        finally:
            _listening.append(watch)
    elif _listening and event in ("exec", "compile"):
        _listening[-1].hear(event, words)


_installed: list[bool] = []


@contextmanager
def watched(*allowed: Path) -> Iterator[Watch]:
    """Hear what happens in the block. The hook stays (Python has no way to take one off), and is deaf outside."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    watch = Watch(tuple(one.resolve() for one in allowed))
    _listening.append(watch)
    try:
        yield watch
    finally:
        _listening.remove(watch)


@contextmanager
def unheard() -> Iterator[None]:
    """What the enemy does in the block is not held against us."""
    held, _listening[:] = list(_listening), []
    try:
        yield
    finally:
        _listening[:] = held


def picture(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that lies there, links as what they say, with kind, rights, size, time and bytes of small files."""
    found: dict[str, tuple[object, ...]] = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            about = path.lstat()
            small = path.read_bytes() if stat.S_ISREG(about.st_mode) and about.st_size < 10_000 else b""
            said = str(path.readlink()) if stat.S_ISLNK(about.st_mode) else ""
            # Not the time of a folder, nor the count of links: both change where something beside it does.
            kept = (about.st_mode, about.st_ino, about.st_size if small or said else 0, small, said)
            found[str(path.relative_to(folder))] = kept
    return found


def inside(folder: Path) -> tuple[int, int]:
    """Names and bytes below a folder."""
    names = size = 0
    for root, folders, files in os.walk(folder):
        names += len(folders) + len(files)
        size += sum((Path(root) / name).lstat().st_blocks * 512 for name in files)
    return names, size


def unprintable(text: str) -> str:
    """The signs in a text that a terminal would obey, or that turn or hide what stands beside them."""
    bad = {
        sign
        for sign in set(text)
        if (unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\n\t")
        or sign in BIDI
        or sign in "\u200b\u2028\u2029\ufeff\u2060"
    }
    return " ".join(f"U+{ord(sign):04X}" for sign in sorted(bad))

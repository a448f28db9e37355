"""Puts checkpoints and results into a durable store, beside the job and after it; never in its way, never its failure.

The grant comes from the laptop (verb `grant`): signed addresses, in memory only, for so many objects, each of them
written once.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from typing import Any

from . import keep
from .container import Container, TooLarge
from .events import Teller
from .guard import Guard
from .places import GuestError, Run, whole_steps, write_whole
from .transfer import listed
from .upload import NotStored, upload

LOOK_SECONDS = 2.0
AGAIN_SECONDS = 60.0
"""Between tries to store the results, for as long as the lease pays for it."""
MOST_GRANT_BYTES = 4 << 20
_NEEDED = ("key", "run", "attempt", "every_seconds", "upload_seconds", "end", "wait_seconds", "slots")


def accept(run: Run, text: bytes) -> dict[str, Any]:
    """Keep a grant, instead of the one that was kept before. Raises `GuestError`, which shows nothing of it."""
    try:
        found = json.loads(text)
        objects = [str(slot["object"]) for slot in found["slots"]]
        sound = all(name in found for name in _NEEDED) and len(text) <= MOST_GRANT_BYTES
    except (ValueError, KeyError, TypeError):
        sound, objects = False, []
    if not sound:
        raise GuestError("that is no grant") from None
    os.makedirs(keep.grant_folder(run), mode=0o700, exist_ok=True)
    write_whole(_grant_path(run), text)
    return {"objects": objects}


def _grant_path(run: Run) -> str:
    return os.path.join(keep.grant_folder(run), "grant.json")


class Storing:
    """What of one job lies in the store, and what is still to go there."""

    def __init__(self, run: Run, guard: Guard, tell: Teller, before: dict[str, Any]) -> None:
        """`before`: status.json of an earlier supervisor of the same job."""
        self._run, self._guard, self._tell = run, guard, tell
        self._used = [name for name in before.get("stored_objects", []) if isinstance(name, str)]
        step = before.get("stored_step")
        self._step = step if isinstance(step, int) else -1
        self._began: float | None = None
        self._over, self._one = threading.Event(), threading.Lock()
        self._known: tuple[float, dict[str, Any]] = (0.0, {})
        self._warned = ""
        self._refused: set[str] = set()
        """Addresses that the store does not take any more; a newer grant has others for the same object."""

    def begin(self) -> None:
        """Look for new checkpoints from now on, for as long as the job works."""
        threading.Thread(target=self._look_on, name="store", daemon=True).start()

    def upload_seconds(self) -> float:
        """What of the lease is to be left for it at the end; 0 where nothing was granted."""
        return float(self._grant().get("upload_seconds", 0))

    def finish(self, ending: dict[str, Any]) -> None:
        """The job is over: its last checkpoint where it did not come through, its results; then, if allowed, the end.

        Nothing is stored for who is there and takes the results: as soon as the machine is ended, this ends with it.
        """
        self._over.set()
        with self._one:
            grant = self._grant()
            if not grant:
                return
            if ending["outcome"] != "succeeded":
                self._newest_checkpoint(grant, is_last=True)
            durable = self._results(ending)
        keep.forget_grant(self._run)
        if durable and grant["end"]:
            self._end_unless_seen(float(grant["wait_seconds"]))

    def _grant(self) -> dict[str, Any]:
        try:
            at = os.stat(_grant_path(self._run)).st_mtime
            if self._known[0] != at:
                with open(_grant_path(self._run), encoding="utf-8") as file:
                    self._known = at, json.load(file)
        except (OSError, ValueError):
            return {}
        return self._known[1]

    def _look_on(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._one:
                grant = self._grant()
                due = self._began is None or time.monotonic() - self._began >= grant.get("every_seconds", 0)
                if grant and due and not self._over.is_set():
                    self._newest_checkpoint(grant, is_last=False)

    def _newest_checkpoint(self, grant: dict[str, Any], *, is_last: bool) -> None:
        """The newest whole one that is not there yet. One place is kept for the last one."""
        step = max(whole_steps(self._run), default=-1)
        slots = self._slots(grant, "checkpoint")
        if step <= self._step or len(slots) <= (0 if is_last else 1):
            return
        name, self._began = f"step-{step}", time.monotonic()
        aside = os.path.join(self._run.path, ".storing")
        try:
            _linked(os.path.join(self._run.checkpoints, name), aside)
            stored = self._put(aside, {"what": "checkpoint", "name": name, "step": step}, slots[0])
        except OSError as error:  # dropped by the job meanwhile: there is a newer one
            self._warn(f"{name}: {error.strerror or error}")
            stored = False
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        if stored:
            self._step = step
            self._tell.state(stored_step=step)

    def _results(self, ending: dict[str, Any]) -> bool:
        """Until they are there, or the lease is nearly over, or the addresses are of no use any more."""
        about = {"what": "results", "name": "out", "step": max(self._step, 0), "ending": ending}
        while True:
            slots = self._slots(self._grant(), "results")
            if not slots:
                return False
            try:
                if self._put(self._run.out, about, slots[0]):
                    return True
            except OSError as error:
                self._warn(f"results: {error.strerror or error}")
            left = self._guard.left_seconds()
            is_paid = left is not None and left >= AGAIN_SECONDS + self.upload_seconds()
            if not is_paid or not self._slots(self._grant(), "results"):
                return False
            time.sleep(AGAIN_SECONDS)

    def _slots(self, grant: dict[str, Any], what: str) -> list[dict[str, Any]]:
        slots = [one for one in grant.get("slots", []) if one["what"] == what and one["object"] not in self._used]
        return [one for one in slots if one["complete"] not in self._refused]

    def _put(self, root: str, about: dict[str, Any], slot: dict[str, Any]) -> bool:
        """One object, told of once it was read back; whether it is there."""
        grant = self._grant()
        # A whole merged model is not stored: base and adapter make it anew.
        files = [one for one in listed(root) if not str(one["path"]).startswith("merged/")]
        about = {**about, "run": grant["run"], "attempt": grant["attempt"], "object": slot["object"]}
        room = len(slot["parts"]), int(slot["part_bytes"])
        try:
            container = Container(root, files, about, bytes.fromhex(grant["key"]), room)
            upload(container, slot, _wait if self._over.is_set() else self._pause)
        except TooLarge as error:
            self._spend(slot)
            self._warn(f"{about['name']} is not stored: {error}")
            return False
        except NotStored as error:
            if error.refused:
                self._refused.add(slot["complete"])
            if error.spent:
                self._spend(slot)
            self._warn(f"{about['name']} is not stored yet: {error}")
            return False
        self._spend(slot)
        told = {name: about[name] for name in ("what", "name", "step", "object")}
        self._tell.tell("stored", **told, files=len(files), bytes=container.size, sha256=container.sha256)
        return True

    def _pause(self, seconds: float) -> bool:
        """Wait; whether the job is over, so that a checkpoint on its way is worth nothing any more, or all."""
        return self._over.wait(seconds)

    def _spend(self, slot: dict[str, Any]) -> None:
        self._used.append(slot["object"])
        self._tell.state(stored_objects=self._used)

    def _warn(self, text: str) -> None:
        """Each trouble once: a store that is away is away at every look."""
        if text != self._warned:
            self._warned = text
            self._tell.warn("store", text)

    def _end_unless_seen(self, wait_seconds: float) -> None:
        """All is safe elsewhere: who does not come within `wait_seconds` finds it there, and the machine gone."""
        seen, since = _seen(self._run), time.monotonic()
        while time.monotonic() - since < wait_seconds:
            time.sleep(min(LOOK_SECONDS, wait_seconds))
            if _seen(self._run) != seen:
                seen, since = _seen(self._run), time.monotonic()
        self._tell.warn("ends-itself", "the results are in the durable store, and nobody is here: the machine ends")
        with contextlib.suppress(GuestError):
            self._guard.allow(0)


def _wait(seconds: float) -> bool:
    if seconds:
        time.sleep(seconds)
    return False


def _linked(folder: str, aside: str) -> None:
    """The same files under names of ours: the job drops old checkpoints while they are on their way."""
    shutil.rmtree(aside, ignore_errors=True)
    for at, _, names in os.walk(folder):
        there = os.path.join(aside, os.path.relpath(at, folder))
        os.makedirs(there, exist_ok=True)
        for name in names:
            if not os.path.islink(os.path.join(at, name)):
                os.link(os.path.join(at, name), os.path.join(there, name))


def _seen(run: Run) -> float:
    try:
        return os.stat(run.seen).st_mtime
    except OSError:
        return 0.0

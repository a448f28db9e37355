"""Runs the job's steps to their end: heartbeats, saves in time before the lease is over, and says how it went."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from typing import Any

from . import follow, keep, notice, start
from .events import Teller
from .guard import Guard
from .places import GuestError, Run, read_json
from .store import Storing
from .work import Log, Work, end_orphans

HEARTBEAT_SECONDS = 5
LOOK_SECONDS = 0.2
SAVED = 75
"""A step's exit code for "saved and stopped because I was asked" (EX_TEMPFAIL)."""
_ENDED_BY_SIGNAL = frozenset({128 + signal.SIGTERM, 128 + signal.SIGKILL, 128 + signal.SIGINT})
DONE_TRIES = 600
"""The last event is tried so often, once a second, when the disk is full."""


class Asked:
    """Why the job was asked to save; empty as long as it was not. The first reason stays."""

    def __init__(self) -> None:
        self.why = ""

    def __call__(self, why: str) -> None:
        """Ask."""
        self.why = self.why or why


class Supervisor:
    """One job, from its first step (or the one at which an earlier supervisor died) to `done`."""

    def __init__(self, run: Run, guard: Guard) -> None:
        self._run, self._guard = run, guard
        self._job, before = run.read_job(), read_json(run.status)
        self._secrets = {name: text for name, text in keep.load(run).items() if name in self._job.get("secrets", [])}
        self._redactor = keep.Redactor(self._secrets)
        self._tell = Teller(run, self._redactor)
        self._asked = Asked()
        self._storing = Storing(run, guard, self._tell, before)
        self._log = Log(run.log, self._redactor)
        self._finished: list[str] = [name for name in before.get("steps_done", []) if isinstance(name, str)]
        self._python = str(before.get("python") or sys.executable)
        self._next_heartbeat = 0.0
        self._again = bool(before)
        self._beside: dict[str, tuple[str, Work]] = {}
        """What was begun ahead of its time, by the step that needs it."""

    def run(self) -> None:
        """All steps; `done` is the last event, and the state is "over" after it."""
        self._begin()
        outcome = self._steps()
        self._finish(outcome)

    def _begin(self) -> None:
        for folder in (self._run.out, self._run.checkpoints):
            os.makedirs(folder, exist_ok=True)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._asked(f"signal {number}"))
        orphans = end_orphans(self._run.path) if self._again else 0
        self._tell.state(
            pid=os.getpid(), state="running", steps_done=self._finished, python=self._python, attempt=self._attempt()
        )
        if self._again:
            text = f"an earlier supervisor died; {orphans} of its processes were ended, its step begins again"
            self._tell.warn("supervisor-restarted", text)
        for name in sorted(set(self._job.get("secrets", [])) - set(self._secrets)):
            self._tell.warn("secret-missing", f"{name} was promised and did not come")
        if self._guard.left_seconds() is None:
            self._tell.warn("no-guard", "the dead-man cannot be read: nothing here knows when the lease is over")
        if self._job.get("notice") == "imds":
            notice.Watch(notice.Metadata(notice.address()), self._noticed).begin()
        self._storing.begin()

    def _attempt(self) -> int:
        found = self._job.get("attempt")
        return found if isinstance(found, int) else 1

    def _noticed(self, action: str, when: str) -> None:
        """A reclaim asks for a save and a stop; a recommendation, which may come to nothing, for a save alone."""
        if action == "rebalance":
            with contextlib.suppress(OSError), open(self._run.save, "w", encoding="ascii") as file:
                file.write("rebalance\n")
        else:
            self._asked(f"notice: {action}")
        self._tell.tell("notice", action=action, **({"time": when} if when else {}))

    def _steps(self) -> dict[str, Any]:
        for step in self._job["steps"]:
            if step["name"] in self._finished:
                continue
            self._watch()
            if self._asked.why:
                return _ending("stopped", 0, step["name"], f"asked to stop ({self._asked.why}) before this step")
            if step.get("until"):
                self._begin_beside(step)
                continue
            code, text = self._step(step)
            if code != 0:
                return self._not_done(step["name"], code, text)
            self._finished.append(step["name"])
            self._adopt_python()
            self._tell.state(steps_done=self._finished, group=None, python=self._python)
        return _ending("succeeded", 0, "", "")

    def _not_done(self, name: str, code: int, text: str) -> dict[str, Any]:
        """75 is a save. A signal that we sent is a stop without one; all else is a failure."""
        if code == SAVED:
            return _ending("stopped", code, name, f"saved and stopped ({self._asked.why or 'by itself'})")
        if self._asked.why and (code < 0 or code in _ENDED_BY_SIGNAL):
            return _ending("stopped", code, name, f"stopped without saving ({self._asked.why}): {text}")
        return _ending("failed", code, name, text or f"exit {code}")

    def _step(self, step: dict[str, Any]) -> tuple[int, str]:
        began = time.monotonic()
        self._tell.state(step=step["name"], phase=step["phase"])
        self._tell.tell("phase", phase=step["phase"], name=step["name"], state="begin")
        self._end_beside(step["name"])
        try:
            work = self._work(step, self._log)
        except OSError as error:
            return 127, f"{step['argv'][0]} cannot be started: {error.strerror}"
        self._tell.state(group=work.group)
        code = self._attend(work)
        work.close()
        seconds = round(time.monotonic() - began, 3)
        self._tell.tell("phase", phase=step["phase"], name=step["name"], state="end", seconds=seconds)
        return code, self._log.last_line()

    def _work(self, step: dict[str, Any], log: Log) -> Work:
        argv = [word.replace("{python}", self._python) for word in step["argv"]]
        return Work(argv, self._run.job_folder, self._environment(), log)

    def _begin_beside(self, step: dict[str, Any]) -> None:
        """A step that goes on beside the next ones; the one that it is for waits for it, and can do without it."""
        if step["until"] in self._finished:
            return
        with contextlib.suppress(OSError):
            self._beside[step["until"]] = step["name"], self._work(step, Log(self._run.log, self._redactor))

    def _end_beside(self, name: str) -> None:
        begun = self._beside.pop(name, None)
        if begun is None:
            return
        code = self._attend(begun[1])
        begun[1].close()
        if code != 0 and not self._asked.why:
            self._tell.warn("beside", f"{begun[0]} came to nothing (exit {code}); {name} does it all")

    def _attend(self, work: Work) -> int:
        """Until the step ends: asked once when there is a reason, killed when the grace is over."""
        kill_at = float("inf")
        while True:
            code = work.wait(LOOK_SECONDS)
            if code is not None:
                return code
            self._watch()
            if self._asked.why and kill_at == float("inf"):
                kill_at = time.monotonic() + self._seconds("grace_seconds", 60)
                work.ask()
            if time.monotonic() >= kill_at:
                work.kill()

    def _watch(self) -> None:
        """What is to be looked at a few times a second; a heartbeat when one is due."""
        if os.path.exists(self._run.stop):
            self._asked("stop")
        left = self._guard.left_seconds()
        needed = self._seconds("save_seconds", 90) + self._seconds("grace_seconds", 60) + self._storing.upload_seconds()
        if left is not None and left < needed:
            self._asked("the lease runs short")
        if time.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
            self._heartbeat()

    def _heartbeat(self) -> None:
        usage = os.statvfs(self._run.path)
        self._tell.tell(
            "heartbeat",
            life_seconds=self._guard.life_seconds(),
            lease_seconds=self._guard.lease_seconds(),
            disk_free_gib=round(usage.f_bavail * usage.f_frsize / (1 << 30), 2),
        )

    def _seconds(self, key: str, default: float) -> float:
        found = self._job.get(key)
        return found if isinstance(found, (int, float)) and not isinstance(found, bool) else default

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self._secrets,
            "PYTHONUNBUFFERED": "1",
            "LAUNCH_RUN": self._run.path,
            "LAUNCH_JOB": self._run.job_json,
            "LAUNCH_PROGRESS": self._run.progress,
            "LAUNCH_OUT": self._run.out,
            "LAUNCH_CHECKPOINTS": self._run.checkpoints,
        }

    def _adopt_python(self) -> None:
        """The interpreter that the install step chose, if it left word and the file can be run."""
        try:
            with open(self._run.python, encoding="utf-8") as file:
                chosen = file.read(4096).strip()
        except (OSError, ValueError):
            return
        if os.path.isabs(chosen) and os.access(chosen, os.X_OK):
            self._python = chosen
        else:
            self._tell.warn("python", f"{chosen!r} is no interpreter; going on with {self._python}")

    def _finish(self, ending: dict[str, Any]) -> None:
        """Masks what a job told of its secrets, forgets them, says `done`; on a full disk it tries for long."""
        end_orphans(self._run.path)
        follow.mask_at_rest(self._run)
        keep.forget(self._run)
        self._keep_log()
        for _ in range(DONE_TRIES):
            if self._tell.tell("done", **ending):
                break
            time.sleep(1)
        self._tell.state(state="over", group=None, **{key: ending[key] for key in ("outcome", "exit_code", "text")})
        self._storing.finish(ending)

    def _keep_log(self) -> None:
        """What the job printed is a result like the others; where the disk is full, the others go first."""
        if not os.path.isfile(self._run.log):
            return  # what is no file may have no end
        path = os.path.join(self._run.out, "logs", "job.log")
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copyfile(self._run.log, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _ending(outcome: str, code: int, step: str, text: str) -> dict[str, Any]:
    return {"outcome": outcome, "exit_code": code, "step": step, "text": text[:600]}


def supervise(run: Run, guard: Guard) -> None:
    """The whole life of the supervisor's process. Raises `GuestError` when there is another one."""
    held = start.hold(run)
    if held is None:
        raise GuestError("another supervisor has this run")
    if read_json(run.status).get("state") != "over":
        Supervisor(run, guard).run()

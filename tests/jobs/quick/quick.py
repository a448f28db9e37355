"""A training job without training, for tests: steps, checkpoints, scores, a small adapter; standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

DEFAULTS: dict[str, Any] = {
    "steps": 8,
    "seconds": 0.01,
    "save_every": 4,
    "exact": 0.93,
    "adapter_bytes": 4096,
    "fail_at": 0,
    "deaf": 0,
    "noise": 0,
    "tell": "",
    "probe": 3,
    "tokens": 256,
}
SAVED_AND_STOPPED = 75
RUN, OUT = Path(os.environ["LAUNCH_RUN"]), Path(os.environ["LAUNCH_OUT"])
CHECKPOINTS, PROGRESS = Path(os.environ["LAUNCH_CHECKPOINTS"]), Path(os.environ["LAUNCH_PROGRESS"])
JOB = json.loads(Path(os.environ["LAUNCH_JOB"]).read_text())


class Asked:
    """Whether somebody asked us to save and stop."""

    yes = False


def knobs() -> dict[str, Any]:
    """The knobs by name; the environment wins over job.json, job.json over quick.json."""
    beside = Path(__file__).with_name("quick.json")
    found = {**DEFAULTS, **(json.loads(beside.read_text()) if beside.exists() else {})}
    settings = JOB.get("settings", {})
    if (settings.get("train") or {}).get("max_steps"):
        found["steps"] = settings["train"]["max_steps"]
    found.update(settings.get("quick", {}))
    if unknown := set(found) - set(DEFAULTS):
        sys.exit(f"quick: no such knob: {', '.join(sorted(unknown))}")
    for name, default in DEFAULTS.items():
        text = os.environ.get("QUICK_" + name.upper())
        found[name] = type(default)(text) if text else found[name]
    return found


def tell(event: str, **fields: object) -> None:
    """Append one whole line to the progress file."""
    at = datetime.now(timezone.utc).isoformat()  # noqa: UP017 - the machine's Python may be 3.9
    line = json.dumps({"schema": 1, "event": event, "at": at, **fields}) + "\n"
    with PROGRESS.open("ab", buffering=0) as file:
        file.write(line.encode())


def write(path: Path, data: bytes) -> None:
    """Write aside, then rename: a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".tmp")
    aside.write_bytes(data)
    aside.replace(path)


def safetensors(weights: bytes) -> bytes:
    """A valid safetensors file with one tensor of bytes."""
    header = {"lora": {"dtype": "U8", "shape": [len(weights)], "data_offsets": [0, len(weights)]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + weights


def stretch(seed: bytes, size: int) -> bytes:
    """So many bytes, decided by the seed."""
    return (seed * (size // len(seed) + 1))[:size]


def save(step: int, seed: bytes, size: int) -> None:
    """A whole checkpoint: written aside, then renamed, then told."""
    name = f"step-{step}"
    aside = CHECKPOINTS / (name + ".tmp")
    aside.mkdir(parents=True, exist_ok=True)
    files = {
        "adapter_model.safetensors": safetensors(stretch(seed, size)),
        "state.json": json.dumps({"step": step, "seed": seed.hex()}).encode(),
    }
    for path, data in files.items():
        write(aside / path, data)
    rows = [{"path": p, "bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for p, d in sorted(files.items())]
    manifest = json.dumps({"files": rows}).encode()
    write(aside / "manifest.json", manifest)
    if (CHECKPOINTS / name).exists():
        return
    aside.rename(CHECKPOINTS / name)
    total = sum(len(data) for data in files.values())
    tell("checkpoint", name=name, step=step, bytes=total, sha256=hashlib.sha256(manifest).hexdigest())


def whole(folder: Path) -> bool:
    """Whether a checkpoint is what its manifest says."""
    try:
        rows = json.loads((folder / "manifest.json").read_text())["files"]
        return all(hashlib.sha256((folder / row["path"]).read_bytes()).hexdigest() == row["sha256"] for row in rows)
    except (OSError, ValueError, KeyError):
        return False


def newest() -> tuple[int, bytes]:
    """Step and seed of the newest whole checkpoint, or the beginning."""
    found = sorted(CHECKPOINTS.glob("step-*"), key=lambda path: int(path.name[5:]) if path.name[5:].isdigit() else -1)
    for folder in reversed(found):
        if not folder.name.endswith(".tmp") and whole(folder):
            state = json.loads((folder / "state.json").read_text())
            return state["step"], bytes.fromhex(state["seed"])
    return 0, hashlib.sha256(b"quick").digest()


def slowness() -> float:
    """How many times as long everything takes here: what a test cloud says of a machine that is slower than sold."""
    try:
        return float((Path(os.environ["BOX_ROOT"]) / "run" / "slowness").read_text())
    except (KeyError, OSError, ValueError):
        return 1.0


def asked_last_step(of: int) -> int:
    """The last step: of the settings, or the nearer one at which somebody wants the training to end."""
    try:
        return min(of, int((RUN / "max_steps").read_text()))
    except (OSError, ValueError):
        return of


def probe_event(step: int, of: int, took: list[float], knob: dict[str, Any]) -> None:
    """What the real job tells of its first steps."""
    mean = sum(took) / len(took)
    tell(
        "probe",
        step=step,
        of=of,
        left=of - step,
        steps=len(took),
        step_seconds=round(mean, 6),
        spread=round((sum((one - mean) ** 2 for one in took) / len(took)) ** 0.5 / mean, 4),
        tokens_per_second=round(knob["tokens"] / mean, 1),
        tokens_per_step=knob["tokens"],
        save_seconds=None,
        save_every=knob["save_every"],
        vram_gib=None,
    )


def step_event(step: int, of: int, seconds: float) -> None:
    """What the real job tells of a step."""
    loss = round(2.0 / (1 + step), 4)
    tell(
        "step",
        step=step,
        of=of,
        loss=loss,
        learning_rate=2e-4 * (1 - step / (of + 1)),
        grad_norm=round(loss / 2, 4),
        tokens_per_second=round(256 / max(seconds, 0.001), 1),
        vram_gib=None,
        epoch=round(step / of, 4),
    )


def one_step(step: int, seed: bytes, knob: dict[str, Any]) -> bytes:
    """Work for one step; returns the new "weights"."""
    time.sleep(knob["seconds"] * slowness())  # a program of its own, whose work is to take time
    if step == knob["fail_at"]:
        print("quick: told to fail here", flush=True)
        sys.exit(1)
    print(f"step {step} of {asked_last_step(knob['steps'])}", flush=True)
    for number in range(knob["noise"]):
        print(f"noise {number}", flush=True)
    step_event(step, asked_last_step(knob["steps"]), knob["seconds"])
    return hashlib.sha256(seed).digest()


def train() -> None:
    """All steps from the newest checkpoint on, then the adapter."""
    knob = knobs()
    step, seed = newest()
    print(f"begins after step {step}", flush=True)
    took: list[float] = []
    while step < asked_last_step(knob["steps"]):
        began = time.monotonic()
        if Asked.yes and not knob["deaf"]:
            save(step, seed, knob["adapter_bytes"])
            sys.exit(SAVED_AND_STOPPED)
        step += 1
        seed = one_step(step, seed, knob)
        if step % knob["save_every"] == 0:
            save(step, seed, knob["adapter_bytes"])
        took.append(time.monotonic() - began)
        if knob["probe"] and len(took) == knob["probe"] + 1:  # the first one warms up
            probe_event(step, asked_last_step(knob["steps"]), took[1:], knob)
    write(OUT / "adapter" / "adapter_model.safetensors", safetensors(stretch(seed, knob["adapter_bytes"])))
    config = {"base_model_name_or_path": JOB.get("settings", {}).get("model", "quick"), "peft_type": "LORA", "r": 16}
    write(OUT / "adapter" / "adapter_config.json", json.dumps(config).encode())
    write(OUT / "logs" / "environment.json", json.dumps({"python": sys.version.split()[0]}).encode())


def evaluate(arm: str) -> None:
    """The arm's made-up answers to the test rows that were shipped, in the files and events of the real job."""
    share, loss = (knobs()["exact"], 0.1) if arm == "tuned" else (0.02, 2.0)
    asked = pairs()
    right = round(share * len(asked))
    for done in (len(asked) // 2, len(asked)):
        tell("evaluated", arm=arm, done=done, of=len(asked))
    rows = [
        {
            "item": at,
            "prompt": prompt,
            "wanted": wanted,
            "answer": wanted if at < right else "no",
            "loss": loss,
            "tokens": 9,
        }
        for at, (prompt, wanted) in enumerate(asked)
    ]
    metrics = {"exact": right / len(asked), "loss": loss}
    summary = {"arm": arm, "n": len(asked), "metrics": metrics, "seconds": 1.0, "batch": 8}
    write(OUT / "eval" / f"{arm}.json", json.dumps(summary).encode())
    write(OUT / "eval" / f"{arm}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    tell("result", arm=arm, metrics=metrics, n=len(asked))


def pairs() -> list[tuple[list[dict[str, str]], str]]:
    """Prompt and wanted answer of each test row that was shipped as one question and its answer; else made-up ones."""
    file = RUN / "bundle" / "data" / "test.jsonl"
    rows = [json.loads(line).get("messages") or [] for line in file.read_text().splitlines()] if file.is_file() else []
    if rows and all(len(turns) == 2 for turns in rows):
        return [(turns[:1], turns[1]["content"]) for turns in rows]
    return [([{"role": "user", "content": f"number {at}"}], str(at)) for at in range(100)]


def install() -> None:
    """Tell the supervisor which interpreter the next steps take."""
    write(RUN / "python", sys.executable.encode())
    name = knobs()["tell"]
    if name:
        print(f"{name} is {os.environ.get(name, 'missing')}", flush=True)
        tell("warning", code="told", text=f"{name} is {os.environ.get(name, 'missing')}")


def heard(_number: int, _frame: object) -> None:
    """SIGTERM: finish the step, save, stop."""
    Asked.yes = True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, heard)
    if sys.argv[1] == "evaluate":
        evaluate(sys.argv[2])
    else:
        {"install": install, "train": train}[sys.argv[1]]()

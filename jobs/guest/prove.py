"""Makes the GPU multiply once, with whatever torch the image has, before anything large is sent to this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

INTERPRETERS = ("/opt/pytorch/bin/python", "/opt/conda/bin/python", "/usr/bin/python3")
"""Where well-known images keep the interpreter that has torch."""
SECONDS = 120
"""The first use of a GPU loads the CUDA libraries; a driver that hangs would take for ever."""
TRIAL = """
import importlib.util as u, json
if u.find_spec("torch") is None:
    print(json.dumps({"proved": [], "why": "no torch on this image yet"}))
    raise SystemExit
try:
    import torch
    proved = []
    torch.cuda.init()
    for index in range(torch.cuda.device_count()):
        a = torch.randn(1024, 1024, device=f"cuda:{index}", dtype=torch.bfloat16)
        assert torch.isfinite(a @ a).all(), "a bf16 matrix product came out non-finite"
    proved.append("bf16")
    if u.find_spec("bitsandbytes") is not None:
        import bitsandbytes.functional as b
        packed, state = b.quantize_4bit(a, quant_type="nf4")
        error = (b.dequantize_4bit(packed, state) - a).abs().mean() / a.abs().mean()
        assert 0 < float(error) < 0.2, f"4-bit weights come back {float(error):.0%} off"
        proved.append("nf4")
    print(json.dumps({"proved": proved, "why": ""}))
except Exception as error:
    print(json.dumps({"proved": [], "failed": f"{type(error).__name__}: {error}"[:400]}))
"""


def prove() -> dict[str, Any]:
    """The document of docs/guest.md: what was proved, why nothing could be, or how the GPU failed."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return {"proved": [], "why": "this machine hides its GPU on purpose", "failed": ""}
    last: dict[str, Any] = {"proved": [], "why": "no interpreter here has torch", "failed": ""}
    for python in dict.fromkeys((sys.executable, *INTERPRETERS)):
        found = _tried(python)
        if found is not None and (found.get("proved") or found.get("failed")):
            return {"why": "", "failed": "", **found}
        last = last if found is None else {"failed": "", **found}
    return last


def _tried(python: str) -> dict[str, Any] | None:
    """What that interpreter says; None where there is none that works."""
    if not os.access(python, os.X_OK):
        return None
    try:
        done = subprocess.run([python, "-c", TRIAL], capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"proved": [], "failed": f"no answer from the GPU within {SECONDS} s"}
    except OSError:
        return None
    try:
        found = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"proved": [], "failed": f"torch ended with {done.returncode}"} if done.returncode < 0 else None
    return found if isinstance(found, dict) else None

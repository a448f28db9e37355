"""The commands that stand first on a box's PATH: what on a real machine is root's, systemd's or NVIDIA's."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

SHUTDOWN = """#!/bin/sh
# Only leaves a note: the world reads it within a tick and does to this machine what its cloud would do.
note="$BOX_ROOT/run/shutdown"
echo "$(basename "$0") $*" >"$note.$$" && mv "$note.$$" "$note"
"""

SLEEP = """#!/bin/sh
# A machine's second lasts 1/{scale} of ours.
total=0
for part in "$@"; do
    case $part in
        *d) factor=86400 ;; *h) factor=3600 ;; *m) factor=60 ;; *) factor=1 ;;
    esac
    total="$total + ${{part%[smhd]}} * $factor"
done
exec {sleep} "$({awk} "BEGIN {{ printf \\"%.4f\\", ($total) / {scale} }}")"
"""

SYSTEMD_RUN = """#!/bin/sh
# Starts the command apart from its caller, at once or after --on-active, again and again with Restart=always.
after= again= unit="run-$$"
while [ $# -gt 0 ]; do
    case $1 in
        --on-active=*) after=${1#*=} ;;
        --on-active) after=$2; shift ;;
        --unit=*) unit=${1#*=} ;;
        --unit | -u) unit=$2; shift ;;
        -p | --property | --timer-property | --description | -E | --setenv | --slice)
            case $2 in Restart=always | Restart=on-failure) again=yes ;; esac
            shift ;;
        --property=Restart=always | --property=Restart=on-failure | -pRestart=always) again=yes ;;
        --) shift; break ;;
        -*) ;;
        *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || { echo "systemd-run: no command given" >&2; exit 1; }
units="$BOX_ROOT/run/units"
mkdir -p "$units"
mkdir "$units/$unit" 2>/dev/null || { echo "Failed to start transient unit: Unit $unit already exists." >&2; exit 1; }
export BOX_AFTER="${after%s}" BOX_AGAIN="$again"
setsid sh -c '
    [ -z "$BOX_AFTER" ] || sleep "$BOX_AFTER"
    while :; do
        "$@"
        [ -n "$BOX_AGAIN" ] || exit
        sleep 0.1
    done
' sh "$@" >>"$BOX_ROOT/var/log/$unit.log" 2>&1 </dev/null &
echo $! >"$units/$unit/pid"
echo "Running as unit: $unit" >&2
"""

SUDO = """#!/bin/sh
# Whoever runs here may do all that can be done here.
while [ $# -gt 0 ]; do
    case $1 in
        -u | -g | -p) shift 2 ;;
        --) shift; break ;;
        -*) shift ;;
        *=*) export "$1"; shift ;;
        *) break ;;
    esac
done
[ $# -eq 0 ] || exec "$@"
"""

SYSTEMCTL = """#!/bin/sh
# Only `reload ssh`: asks the world to read the host key anew, and waits until it has.
[ "$1 $2" = "reload ssh" ] || exit 1
mark="$BOX_ROOT/run/sshd-reload"
: >"$mark"
tries=0
while [ -e "$mark" ] && [ $tries -lt 500 ]; do {sleep} 0.02; tries=$((tries + 1)); done
[ ! -e "$mark" ]
"""

ONCE = """#!/bin/sh
# cloud-init-per FREQUENCY NAME COMMAND...; a box boots only once, so that "once" is all there is.
name=$2
shift 2
mkdir -p "$BOX_ROOT/var/lib/cloud" && mkdir "$BOX_ROOT/var/lib/cloud/$name" 2>/dev/null || exit 0
exec "$@"
"""

CLOUD_INIT = """#!/bin/sh
# Only `status [--wait]`.
if [ "$2" = --wait ]; then
    until [ -e "$BOX_ROOT/run/boot-finished" ]; do sleep 0.2; done
fi
[ -e "$BOX_ROOT/run/boot-finished" ] && echo "status: done" || echo "status: running"
"""

GETENT = """#!/bin/sh
# The login user exists only in here.
case "$1 $2" in
    "passwd ubuntu") echo "ubuntu:x:1000:1000:Ubuntu:$HOME:/bin/bash" ;;
    *) exec {getent} "$@" ;;
esac
"""

SSHD = '''#!{python} -IS
"""Tells the world with which host key and for whom to open the door, and then stays, as `sshd -D` does."""
import json, os, pathlib, signal, sys

root = pathlib.Path(os.environ["BOX_ROOT"])
words = sys.argv[1:]
key = pathlib.Path(words[words.index("-h") + 1]) if "-h" in words else root / "etc/ssh/ssh_host_ed25519_key"
allowed = pathlib.Path(os.environ["HOME"]) / ".ssh/authorized_keys"
if not key.is_file() or key.stat().st_mode & 0o077:
    sys.exit("sshd: no usable host key")
told = {{"host_key": key.read_text(), "authorized": allowed.read_text().splitlines() if allowed.is_file() else []}}
aside = root / "run/sshd.json.new"
aside.write_text(json.dumps(told))
aside.rename(root / "run/sshd.json")
signal.pause()
'''

NVIDIA_SMI = '''#!{python} -IS
"""Shows the GPUs that run/gpu.json tells of; knows `-L`, `--query-gpu=... --format=csv[,noheader][,nounits]`."""
import json, os, sys

facts = json.load(open(os.environ["BOX_ROOT"] + "/run/gpu.json"))
if facts["state"] == "none":
    sys.exit("No devices were found")
if facts["state"] != "ok":
    print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    sys.exit(9)
gpus = [
    {{"index": str(i), "name": facts["name"], "gpu_name": facts["name"], "memory.total": str(facts["mib"]) + " MiB",
      "memory.used": "1 MiB", "memory.free": str(facts["mib"] - 1) + " MiB", "driver_version": facts["driver"],
      "utilization.gpu": "0 %", "temperature.gpu": "31", "power.draw": "20.00 W",
      "pci.bus_id": f"00000000:00:{{30 + i}}.0",
      "uuid": f"GPU-{{facts['id']}}-{{i}}", "compute_cap": "8.6",
      "count": str(facts["count"]), "ecc.mode.current": "Enabled"}}
    for i in range(facts["count"])
]
options = dict(one.partition("=")[::2] for one in sys.argv[1:])
style = options.get("--format", "").split(",")
wanted = [one.strip() for one in options.get("--query-gpu", "").split(",") if one.strip()]
if "-L" in options:
    print(*(f"GPU {{g['index']}}: {{g['name']}} (UUID: {{g['uuid']}})" for g in gpus), sep="\\n")
elif wanted:
    strange = [one for one in wanted if one not in gpus[0]]
    if strange:
        print(f'Field "{{strange[0]}}" is not a valid field to query.')
        sys.exit(2)
    if "noheader" not in style:
        print(", ".join(wanted))
    for gpu in gpus:
        print(", ".join(gpu[one].split(" ")[0] if "nounits" in style and one != "name" else gpu[one] for one in wanted))
else:
    print(f"NVIDIA-SMI {{facts['driver']}}   Driver Version: {{facts['driver']}}   CUDA Version: 13.0")
    print(*(f"{{g['index']}}  {{g['name']}}  {{g['memory.total']}}" for g in gpus), sep="\\n")
'''

SITECUSTOMIZE = '''"""Python in this box lives on the box's clock, which runs {scale} times as fast as the real one.

Scaled: time.time, monotonic, perf_counter and sleep, and what `threading` and `subprocess` wait by. Not scaled:
datetime.now() and timeouts given to sockets and selectors, which are C.
"""
import subprocess
import threading
import time

_K, _real = {scale}, (time.time, time.monotonic, time.perf_counter, time.sleep)
_t0, _m0, _p0 = {epoch}, {monotonic}, _real[2]()
time.time = lambda: _t0 + (_real[1]() - _m0) * _K
time.monotonic = lambda: _m0 + (_real[1]() - _m0) * _K
time.perf_counter = lambda: _p0 + (_real[2]() - _p0) * _K
time.sleep = lambda seconds: _real[3](seconds / _K)
threading._time = subprocess._time = time.monotonic
_wait = threading.Condition.wait
threading.Condition.wait = lambda self, timeout=None: _wait(self, None if timeout is None else timeout / _K)
'''


def install(folder: Path, scale: float) -> None:
    """Write the commands into `folder`. `sleep` only where the scale asks for it: the real one is faster."""
    folder.mkdir(parents=True)
    for name, text in _commands(scale).items():
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)


def install_clock(folder: Path, scale: float, epoch: float, monotonic: float) -> None:
    """A `sitecustomize` for PYTHONPATH; `epoch` is sim time, in seconds since 1970, at the real `monotonic`."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(scale=scale, epoch=epoch, monotonic=monotonic))


def describe_gpu(path: Path, state: str, name: str, mib: int, count: int, box: str) -> None:
    """What `nvidia-smi` of this box will show from now on."""
    facts = {"state": state, "name": name, "mib": mib, "count": count, "driver": "580.95.05", "id": box}
    path.write_text(json.dumps(facts))


def shutdown_delay(words: Sequence[str]) -> float | None:
    """Sim seconds until the machine is off, as `shutdown` reads its words; None: a pending one is cancelled."""
    if "-c" in words:
        return None
    for word in words[1:]:
        if word.startswith("+") and word[1:].isdigit():
            return 60.0 * int(word[1:])
    at_once = words[0] != "shutdown" or "now" in words
    return 0.0 if at_once else 60.0


def _commands(scale: float) -> dict[str, str]:
    found = {
        **dict.fromkeys(("shutdown", "poweroff"), SHUTDOWN),
        "systemd-run": SYSTEMD_RUN,
        "sudo": SUDO,
        "systemctl": SYSTEMCTL.format(sleep=shutil.which("sleep")),
        "cloud-init-per": ONCE,
        "cloud-init": CLOUD_INIT,
        "getent": GETENT.format(getent=shutil.which("getent") or "false"),
        "sshd": SSHD.format(python=sys.executable),
        "nvidia-smi": NVIDIA_SMI.format(python=sys.executable),
    }
    if scale != 1:
        found["sleep"] = SLEEP.format(scale=scale, sleep=shutil.which("sleep"), awk=shutil.which("awk"))
    return found

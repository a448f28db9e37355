"""A machine's start as cloud-init wants it: the `Boot` value, serialised as data, with the dead-man first."""

import json
from collections.abc import Sequence

from providers.base import Boot, ContractBroken

GUARD_DIR = "/var/lib/launch"

ARM = """\
guard=$1 seconds=$2 script=$3
shift 3
mkdir -p "$guard"
printf %s "$script" > "$guard/deadman.sh"
rm -f "$guard/pid"
systemd-run --unit=launch-deadman --no-block --property=DefaultDependencies=no --property=Restart=always \
--property=RestartSec=1 --property=StartLimitIntervalSec=0 sh "$guard/deadman.sh" "$guard" "$seconds" "$@" \
|| setsid nohup sh "$guard/deadman.sh" "$guard" "$seconds" "$@" </dev/null >/dev/null 2>&1 &
tries=0
while [ ! -s "$guard/pid" ] && [ $tries -lt 15 ]; do sleep 1; tries=$((tries + 1)); done
[ -s "$guard/pid" ] && exit 0
shutdown -P "+$(((seconds + 59) / 60))" && exit 0
setsid nohup sh -c 'sleep "$1"; shift; "$@"' net "$seconds" "$@" </dev/null >/dev/null 2>&1 &
"""
"""Starts the dead-man, at every boot anew (bootcmd runs at each): no `cloud-init-per once`.

It runs under systemd, which starts it again if it is killed; without default dependencies and without waiting, since
this early the targets that a unit usually waits for wait for cloud-init themselves. Where systemd cannot, it runs by
itself. If it does not come up within 15 s (a full disk, a broken shell), the machine gets a fixed end at its lease.
"""


def user_data(boot: Boot, end: Sequence[str], most_bytes: int) -> str:
    """The cloud-config, at most `most_bytes` (else `ContractBroken`). JSON, which YAML's reader takes as it is.

    `end` is the command that ends such a machine when its lease is over.
    """
    config = {
        "bootcmd": [["sh", "-c", ARM, "arm", GUARD_DIR, str(boot.lease_seconds), boot.deadman, *end]],
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": boot.host_key_private, "ed25519_public": boot.host_key_public},
        "ssh_authorized_keys": [boot.authorized_key],
        "ssh_pwauth": False,
        "package_update": False,
        "package_upgrade": False,
        "write_files": [
            {"path": one.path, "content": one.content, "permissions": f"0{one.mode:o}", "owner": "root:root"}
            for one in boot.files
        ],
    }
    text = "#cloud-config\n" + json.dumps(config, ensure_ascii=False, indent=1) + "\n"
    size = len(text.encode())
    if size > most_bytes:
        text = f"the machine's boot data is {size} bytes, at most {most_bytes} can be sent"
        raise ContractBroken(text, code="user-data-size")
    return text

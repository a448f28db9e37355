"""How a pod starts: a container's environment and start arguments that arm the dead-man, lay the keys, start sshd."""

import re
from datetime import datetime
from pathlib import Path

from providers.base import ContractBroken, InstanceRequest

GUARD_DIR = "/var/lib/launch"
ARGS = "sh -c 'eval \"$LAUNCH_BOOT\"'"
"""In place of the image's own start script, which would arm nothing. The script itself comes by the environment: no
quoting, however the service takes this line apart."""
MOST_BODY_BYTES = 100_000
"""The service takes 102,400 bytes in all."""
_HERE = Path(__file__).parent


def environment(request: InstanceRequest, owner_id: str, api_url: str, born: datetime) -> dict[str, str]:
    """All that a pod is told. The host key is in it: who may read it may as well read the machine."""
    boot = request.boot
    found = {
        "LAUNCH_BOOT": _bare("runpod_boot.sh"),
        "LAUNCH_DEADMAN": boot.deadman,
        "LAUNCH_END": _bare("runpod_end.sh"),
        "LAUNCH_API": api_url,
        "LAUNCH_LEASE": str(boot.lease_seconds),
        "LAUNCH_BORN": str(int(born.timestamp())),
        "LAUNCH_HOST_KEY": boot.host_key_private.strip(),
        "PUBLIC_KEY": boot.authorized_key,
        "LAUNCH_OWNER": owner_id,
        "LAUNCH_RUN": request.run_id,
        "LAUNCH_ATTEMPT": str(request.attempt),
        "LAUNCH_NONCE": request.nonce,
        "LAUNCH_DEADLINE": request.deadline.isoformat(),
    }
    if boot.files:
        raise ContractBroken("a pod has no way to be given files before it is logged in to", code="files")
    size = sum(len(name) + len(value.encode()) for name, value in found.items())
    if size > MOST_BODY_BYTES:
        raise ContractBroken(f"the pod's environment is {size} bytes, at most {MOST_BODY_BYTES} can be sent")
    return found


def _bare(name: str) -> str:
    """A script without its comments, for room."""
    lines = (_HERE / name).read_text("ascii").splitlines()
    bare = (re.sub(r"\s+# .*", "", line) for line in lines if not line.lstrip().startswith("#"))
    return "\n".join(line for line in bare if line) + "\n"

"""The `runpod` package as a second, independent look: its pod list goes another way (GraphQL), in a process of its own.

It is never imported here: it takes two seconds, reads files of its own accord and sets up logging. Where it is not
installed, or that door is closed (it retires early in 2027), there is one door less, and that is said.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec

SECONDS = 40.0
SCRIPT = """
import json, os, sys
import runpod
what = sys.argv[1]
if what == "pods":
    pods = runpod.get_pods(api_key=os.environ["RUNPOD_API_KEY"])
    print(json.dumps([{"id": one["id"], "status": one.get("desiredStatus")} for one in pods]))
else:
    print(json.dumps({"version": runpod.__version__, "credentials": list(runpod.check_credentials(sys.argv[2]))}))
"""
HANDED_ON = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy")


def is_installed() -> bool:
    """Whether there is a second door at all."""
    return find_spec("runpod") is not None


def listed(environ: Mapping[str, str], host_url: str, key: str) -> set[str] | None:
    """The ids of all pods that it lists and that are not ended; None where it does not say."""
    found = _asked(environ, host_url, key, "pods")
    if not isinstance(found, list) or not all(isinstance(one, Mapping) and "id" in one for one in found):
        return None
    return {str(one["id"]) for one in found if one.get("status") != "TERMINATED"}


def described(environ: Mapping[str, str], host_url: str, profile: str) -> Mapping[str, object] | None:
    """Its version, and what it thinks of ~/.runpod/config.toml; None where it does not run."""
    found = _asked(environ, host_url, "", "credentials", profile)
    return found if isinstance(found, Mapping) else None


def _asked(environ: Mapping[str, str], host_url: str, key: str, *words: str) -> object:
    """What the script printed as JSON; None for all that can go wrong. The key goes by the environment, not by argv."""
    if not is_installed():
        return None
    own = {name: environ[name] for name in HANDED_ON if name in environ}
    own |= {"RUNPOD_API_BASE_URL": host_url, "RUNPOD_API_KEY": key}
    argv = (sys.executable, "-c", SCRIPT, *words)
    try:
        done = subprocess.run(argv, env=own, capture_output=True, text=True, timeout=SECONDS, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None

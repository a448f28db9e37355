"""How Lambda is called: by one key, at its pace (1 request a second, 1 launch in 12 s), each refusal a typed error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers import reading
from providers.base import (
    AuthFailed,
    Busy,
    ContractBroken,
    NoCapacity,
    NoCredentials,
    NotFound,
    NotSetUp,
    ProviderError,
    QuotaExceeded,
    Surroundings,
    Throttled,
)
from providers.lambda_settings import NAME, LambdaSettings
from providers.pace import Limit, Pace
from providers.rest import SERVER_ERROR, Call, Reply, Rest, header_key, no_answer

BASE_URL = "https://cloud.lambda.ai/api/v1"
KEY_FILE = ".lambda_cloud/lambda_keys"
KEY_FIX = (
    "export LAMBDA_API_KEY=... (cloud.lambda.ai/api-keys), or write `api_key = ...` into ~/.lambda_cloud/lambda_keys"
)
ACCOUNT_FIX = "look into the account at cloud.lambda.ai: payment, address, e-mail"
QUOTA_FIX = "ask Lambda's support for a higher quota, or take another GPU"
LONGEST_WAIT_SECONDS = 10.0
"""Of a request for its turn."""
NEAR_SECONDS = 2.0
"""The same for a launch: one that has to wait longer is left to the caller, who has somebody to tell."""
TOO_MANY = 429
RETRY_SECONDS = 2.0
RETRY_LAUNCH_SECONDS = 12.0

CAPACITY = "instance-operations/launch/insufficient-capacity"
MISSING = "global/object-does-not-exist"
DUPLICATE = "global/duplicate"
CODES: Mapping[str, tuple[type[ProviderError], str]] = {
    CAPACITY: (NoCapacity, ""),
    "global/quota-exceeded": (QuotaExceeded, QUOTA_FIX),
    "global/invalid-parameters": (ContractBroken, ""),
    "instance-operations/launch/file-system-in-wrong-region": (ContractBroken, ""),
    MISSING: (NotFound, ""),
    "global/not-found": (NotFound, ""),
    DUPLICATE: (Busy, ""),
    "global/invalid-api-key": (AuthFailed, KEY_FIX),
    "global/forbidden": (AuthFailed, "make a key with full rights in the same workspace (cloud.lambda.ai/api-keys)"),
    "global/account-inactive": (NotSetUp, ACCOUNT_FIX),
    "global/invalid-address": (NotSetUp, ACCOUNT_FIX),
    "global/conflict": (Busy, ""),
    "firewall-rulesets/firewall-ruleset-in-use": (Busy, ""),
    "filesystems/filesystem-in-use": (Busy, ""),
}
"""Every code of API v1.10.0 that can reach us; what is open after a call (`global/internal-error`, `provider/...`) is
told by `refusal`."""
EXHAUSTED = ("capacity", "quota", "exhaust")
"""Words in a `provider/...` code that tell that the data centre behind it is full; its message is for people."""


class Calls:
    """The one way to Lambda. Nothing is sent before the first verb."""

    def __init__(self, around: Surroundings, settings: LambdaSettings) -> None:
        self._around = around
        self.base_url = around.environ.get("LAMBDA_API_BASE_URL") or BASE_URL
        limits = {
            "any": Limit(seconds=settings.seconds_between_requests),
            "launch": Limit(seconds=settings.seconds_between_launches),
        }
        self._pace = Pace(around.state_dir / NAME / "pace.json", limits, around.now)
        self._rest: Rest | None = None
        self.server_date = ""
        """The time by Lambda's own clock in its latest answer, as HTTP tells it."""

    def read(self, path: str) -> Any:
        """What stands under `data` in the answer to a GET."""
        self._wait_for_turn("any", most_seconds=LONGEST_WAIT_SECONDS)
        return self._data(Call(method="GET", path=path))

    def act(self, path: str, body: object, *, method: str = "POST") -> Any:
        """The same for a call that changes something; it is sent once."""
        self._wait_for_turn("any", most_seconds=LONGEST_WAIT_SECONDS)
        return self._data(Call(method=method, path=path, body=body, acts=True))

    def launch(self, body: object) -> Any:
        """The launch call. Raises `Throttled` where its turn, of one in 12 s, is not near: nothing was sent then."""
        self._wait_for_turn("any", "launch", most_seconds=NEAR_SECONDS)
        return self._data(Call(method="POST", path="/instance-operations/launch", body=body, acts=True))

    def key(self) -> str:
        """The user's key. Raises `NoCredentials` where there is none."""
        found = self._around.environ.get("LAMBDA_API_KEY", "").strip() or _filed(self._around.environ)
        if not found:
            text = "there is no API key: neither LAMBDA_API_KEY nor ~/.lambda_cloud/lambda_keys holds one"
            raise NoCredentials(text, code="no-key", fix=KEY_FIX)
        return header_key(found, KEY_FIX)

    def is_main_key(self, key: str) -> bool:
        """Whether that is the key with which everything is done here, wherever it is kept."""
        environ = self._around.environ
        return key in (environ.get("LAMBDA_API_KEY", "").strip(), _filed(environ))

    def _wait_for_turn(self, *limits: str, most_seconds: float) -> None:
        self._opened()  # who has no key learns it at once: that needs no turn
        self._around.pause(self._pace.turn(*limits, most_seconds=most_seconds))

    def _opened(self) -> Rest:
        if self._rest is None:
            headers = {"Authorization": f"Bearer {self.key()}"}
            self._rest = Rest("Lambda", self.base_url, headers, refusal)
        return self._rest

    def _data(self, call: Call) -> Any:
        try:
            reply = self._opened().ask(call)
        except Throttled as error:
            self._pace.hold("launch" if call.path.endswith("/launch") else "any", error.wait_seconds)
            raise
        self.server_date = reply.headers.get("date", "")
        try:
            document = reading.row(reply.document, "the answer")
        except reading.Odd as odd:
            raise reading.unusable("Lambda", odd, acts=call.acts) from odd
        if "data" not in document:
            raise no_answer("Lambda's answer has no data", "incomplete", acts=call.acts)
        return document["data"]


def refusal(reply: Reply, call: Call) -> ProviderError:
    """A refusal by its code, never by its text; without a code by its status."""
    code, text = _told(reply)
    if reply.status == TOO_MANY:
        least = RETRY_LAUNCH_SECONDS if call.path.endswith("/launch") else RETRY_SECONDS
        wait = max(least, reading.retry_seconds(reply.headers.get("retry-after", "")) or 0.0)
        return Throttled(text or "too many requests", code=code or "429", wait_seconds=wait)
    is_full = code.startswith("provider/") and any(word in code.lower() for word in EXHAUSTED)
    if is_full and reply.status < SERVER_ERROR:  # with a status of 500 the machine may have been made before that
        return NoCapacity(text, code=code)
    if reply.status >= SERVER_ERROR or code.startswith("provider/") or code == "global/unknown":
        return no_answer(f"Lambda had a problem of its own: {text or reply.status}", code, acts=call.acts)
    if code in CODES:
        kind, fix = CODES[code]
        return kind(text, code=code, fix=fix)
    if reply.status in (401, 403):
        return AuthFailed(text or "Lambda did not accept the key", code=code or str(reply.status), fix=KEY_FIX)
    return ContractBroken(f"Lambda answered {code or reply.status}, which launch does not know: {text}", code=code)


def _told(reply: Reply) -> tuple[str, str]:
    error = reply.document.get("error") if isinstance(reply.document, Mapping) else None
    if not isinstance(error, Mapping):
        return "", ""
    code, text = reading.maybe_text(error, "code"), reading.printable(reading.maybe_text(error, "message"))
    return code, text or (f"Lambda says {reading.printable(code)}, and no more" if code else "")


def _filed(environ: Mapping[str, str]) -> str:
    """The habit of the field: a file with `api_key = ...`, or with the bare key."""
    home = environ.get("HOME")
    if not home:
        return ""
    try:
        lines = (Path(home) / KEY_FILE).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and name.strip() == "api_key":
            return value.strip().strip("\"'")
    bare = [line.strip() for line in lines if line.strip() and "=" not in line and not line.startswith("#")]
    return bare[0] if len(bare) == 1 else ""

"""What is written down of a bug of ours holds no secret, however it was spelled in the words of the error."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from launcher import crash
from tests.canaries import CANARIES, holding_below

ENVIRON = {
    "HF_TOKEN": CANARIES["hub-token"],
    "MY_PASSWORD": CANARIES["job-secret"],
    "AWS_SECRET_ACCESS_KEY": CANARIES["aws-secret"],
    "RUNPOD_API_KEY": CANARIES["runpod-key"],
}
SHAPED = {
    "a login in an address": f"https://me:{CANARIES['url-password']}@proxy.example/x",
    "a signed address": f"https://b.example/o?X-Amz-Signature={CANARIES['store-signature']}&x=1",
    "a signed address with a session": f"https://b.example/o?X-Amz-Security-Token={quote(CANARIES['aws-session'])}&x=1",
    "a judge's key": f"authorization: Bearer {CANARIES['judge-key']}",
    "Lambda's key": CANARIES["lambda-key"],
}


def _written(text: str, environ: dict[str, str], home: Path) -> str:
    told = crash.report(KeyError(text), {**environ, "LAUNCH_HOME": str(home)})
    assert "KeyError" in told.message
    (log,) = (home / "crashes").iterdir()
    return log.read_text()


@pytest.mark.parametrize("name", ENVIRON)
@pytest.mark.parametrize("spelled", [str, quote, lambda value: quote(value, safe=""), json.dumps])
def test_a_value_of_the_environment_is_not_in_a_crash_log(name: str, spelled: object, tmp_path: Path) -> None:
    assert callable(spelled)
    log = _written(f"no such thing: {spelled(ENVIRON[name])} there", ENVIRON, tmp_path)
    assert holding_below(tmp_path) == ()
    assert "[redacted]" in log


@pytest.mark.parametrize("name", SHAPED)
def test_what_looks_like_a_secret_is_not_in_a_crash_log(name: str, tmp_path: Path) -> None:
    log = _written(f"no such thing: {SHAPED[name]} there", {}, tmp_path)
    assert holding_below(tmp_path) == ()
    assert re.search(r"\[redacted\].* there|no such thing: \[redacted\]", log)

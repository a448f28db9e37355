"""Where the user's key comes from at Lambda and Runpod: the environment, else the file that the field is used to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from providers import lambda_calls, lambda_settings, runpod_calls, runpod_settings
from providers.base import AuthFailed, NoCredentials, Provider, ProviderError
from tests.providers.hand_clouds import HandClouds
from tests.providers.samples import machine, surroundings

KeyOf = Callable[[dict[str, str]], str]
FILES = {"LAMBDA_API_KEY": ".lambda_cloud/lambda_keys", "RUNPOD_API_KEY": ".runpod/config.toml"}


@pytest.fixture
def lambda_key(tmp_path: Path) -> KeyOf:
    settings = lambda_settings.read({})
    return lambda environ: lambda_calls.Calls(surroundings(tmp_path, environ=environ), settings).key()


@pytest.fixture
def runpod_key(tmp_path: Path) -> KeyOf:
    settings = runpod_settings.read({})
    return lambda environ: runpod_calls.Calls(surroundings(tmp_path, environ=environ), settings).key()


def filed(home: Path, name: str, text: str | bytes) -> dict[str, str]:
    """An environment with nothing but a home, in which that file lies."""
    file = home / FILES[name]
    file.parent.mkdir()
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return {"HOME": str(home)}


def test_lambdas_key_is_the_environments_before_the_files(lambda_key: KeyOf, tmp_path: Path) -> None:
    environ = filed(tmp_path, "LAMBDA_API_KEY", "api_key = filed\n")
    assert lambda_key({**environ, "LAMBDA_API_KEY": " said\n"}) == "said"
    assert lambda_key({**environ, "LAMBDA_API_KEY": " "}) == "filed"


@pytest.mark.parametrize(
    "text",
    [
        "api_key = secret_a_1\n",
        "api_key=secret_a_1",
        "  api_key =  'secret_a_1'  \r\n",
        '# mine\nregion = x\napi_key = "secret_a_1"\n',
        "secret_a_1\n",
        "# a note\n\n  secret_a_1  \n",
    ],
)
def test_lambdas_file_holds_a_line_with_the_key_or_the_bare_key(lambda_key: KeyOf, tmp_path: Path, text: str) -> None:
    assert lambda_key(filed(tmp_path, "LAMBDA_API_KEY", text)) == "secret_a_1"


@pytest.mark.parametrize("text", ["", "\n", "# only a note\n", "other = 1\n", "api_key =\n", "one\ntwo\n", b"\xff\xfe"])
def test_a_file_of_lambdas_without_one_key_is_none(lambda_key: KeyOf, tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(NoCredentials) as caught:
        lambda_key(filed(tmp_path, "LAMBDA_API_KEY", text))
    assert "LAMBDA_API_KEY" in caught.value.text
    assert "lambda_keys" in caught.value.fix


def test_runpods_key_is_the_environments_before_the_files(runpod_key: KeyOf, tmp_path: Path) -> None:
    environ = filed(tmp_path, "RUNPOD_API_KEY", '[default]\napi_key = "filed"\n')
    assert runpod_key({**environ, "RUNPOD_API_KEY": " said\n"}) == "said"
    assert runpod_key({**environ, "RUNPOD_API_KEY": ""}) == "filed"


def test_runpods_file_holds_keys_by_profile(tmp_path: Path) -> None:
    environ = filed(tmp_path, "RUNPOD_API_KEY", '[default]\napi_key = "mine"\n\n[work]\napi_key = " theirs "\n')
    around = surroundings(tmp_path, environ=environ)
    keys = [runpod_calls.Calls(around, runpod_settings.read(raw)).key() for raw in ({}, {"profile": "work"})]
    assert keys == ["mine", "theirs"]


@pytest.mark.parametrize(
    "text",
    ["", "[work]\napi_key = 'x'\n", "[default]\n", "[default]\napi_key = 7\n", "default = 'x'\n", "[def", b"\xff\xfe"],
)
def test_a_file_of_runpods_without_that_profiles_key_is_none(
    runpod_key: KeyOf, tmp_path: Path, text: str | bytes
) -> None:
    with pytest.raises(NoCredentials) as caught:
        runpod_key(filed(tmp_path, "RUNPOD_API_KEY", text))
    assert "RUNPOD_API_KEY" in caught.value.text
    assert "config.toml" in caught.value.fix


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "/nowhere/at/all"}])
def test_without_a_home_there_is_no_file(lambda_key: KeyOf, runpod_key: KeyOf, environ: dict[str, str]) -> None:
    for key_of in (lambda_key, runpod_key):
        with pytest.raises(NoCredentials):
            key_of(environ)


def test_a_folder_in_the_files_place_is_no_key(lambda_key: KeyOf, runpod_key: KeyOf, tmp_path: Path) -> None:
    for name, key_of in (("LAMBDA_API_KEY", lambda_key), ("RUNPOD_API_KEY", runpod_key)):
        (tmp_path / FILES[name]).mkdir(parents=True)
        with pytest.raises(NoCredentials):
            key_of({"HOME": str(tmp_path)})


Connects = Callable[[str], Provider]


@pytest.fixture(params=["lambda", "runpod"])
def connects(request: pytest.FixtureRequest, clouds: HandClouds, tmp_path: Path) -> Connects:
    """A provider with that key."""
    if request.param == "lambda":
        return lambda key: clouds.lambda_at(tmp_path, clouds.lambda_environ(LAMBDA_API_KEY=key))
    return lambda key: clouds.runpod_at(tmp_path, clouds.runpod_environ(RUNPOD_API_KEY=key))


def test_a_key_that_is_not_known_there_is_refused_without_being_told(connects: Connects) -> None:
    with pytest.raises(AuthFailed) as caught:
        connects("secret_canary_0123").list()
    assert "canary" not in f"{caught.value!r} {caught.value.fix}"
    assert caught.value.fix


def test_a_key_with_letters_that_no_header_can_carry_is_blamed_on_the_key(connects: Connects) -> None:
    with pytest.raises(AuthFailed):
        connects("schlüssel").list()


def chain(error: BaseException | None) -> str:
    """All that an error and its causes say."""
    found = ""
    while error is not None:
        found += f"{error!r} {getattr(error, 'fix', '')}\n"
        error = error.__cause__ or error.__context__
    return found


def test_a_key_of_two_lines_is_not_told_by_the_cause_of_its_error(connects: Connects) -> None:
    with pytest.raises(ProviderError) as caught:
        connects("canary\ncanary").list()
    assert "canary" not in chain(caught.value)


def test_a_key_of_two_lines_is_never_sent_and_leaves_nothing_open(connects: Connects) -> None:
    with pytest.raises(AuthFailed):
        connects("canary\ncanary").terminate(machine())

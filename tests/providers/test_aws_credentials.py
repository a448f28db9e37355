"""Whether AWS's SDK is worth its start-up time: only where there can be credentials."""

import subprocess
import sys
from pathlib import Path

import pytest

from providers import aws_credentials
from tests.source import REPOSITORY


def can_be(folder: Path, **environ: str) -> bool:
    return aws_credentials.can_be(environ, home=folder / "home", root=folder)


def written(folder: Path, name: str, text: str = "") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_empty_computer_has_none(tmp_path: Path) -> None:
    assert not can_be(tmp_path, PATH="/bin", AWS_REGION="us-east-1", AWS_ENDPOINT_URL_EC2="http://x", AWS_PAGER="less")


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE", "AWS_CREDENTIAL_FILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "BOTO_CONFIG",
        "AWS_SOMETHING_NEW",
    ],
)  # fmt: skip
def test_a_variable_that_may_lead_to_some_is_left_to_the_sdk(tmp_path: Path, name: str) -> None:
    assert can_be(tmp_path, **{name: "x"})
    assert not can_be(tmp_path, **{name: ""})


@pytest.mark.parametrize("name", ["home/.aws/credentials", "home/.aws/config", "home/.boto", "etc/boto.cfg"])
def test_a_file_that_may_hold_some_is_left_to_the_sdk(tmp_path: Path, name: str) -> None:
    written(tmp_path, name)
    assert can_be(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"), [("sys/class/dmi/id/sys_vendor", "Amazon EC2\n"), ("sys/hypervisor/uuid", "ec2e1916-9099\n")]
)
def test_a_machine_of_ec2s_may_have_a_role(tmp_path: Path, name: str, text: str) -> None:
    written(tmp_path, name, text)
    assert can_be(tmp_path)
    assert not can_be(tmp_path, AWS_EC2_METADATA_DISABLED="true")
    written(tmp_path, name, "LENOVO\n")
    assert not can_be(tmp_path)


def test_without_credentials_offers_are_refused_before_the_sdk_is_imported(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from providers.aws_calls import Calls\n"
        "from providers.base import NoCredentials\n"
        "for ask in (lambda: Calls(os.environ).profile_region(),\n"
        "            lambda: Calls(os.environ).read('ec2', 'describe_regions', 'us-east-1')):\n"
        "    try:\n"
        "        ask()\n"
        "    except NoCredentials as error:\n"
        "        assert error.fix\n"
        "    else:\n"
        "        sys.exit('not refused')\n"
        "assert not {'boto3', 'botocore'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), cwd=REPOSITORY, text=True, capture_output=True, check=False,
        env={"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

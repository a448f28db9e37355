"""Clients that this project did not write, against the simulated Lambda and Runpod: they must take it for the real one.

Lambda: `lambda-ai-cloud-api-client`, generated from the vendor's own description. Runpod: its own package, by GraphQL.
"""

import importlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from lambda_ai_cloud_api_client.api.images import list_images
from lambda_ai_cloud_api_client.api.instances import (
    get_instance,
    launch_instance,
    list_instance_types,
    list_instances,
    terminate_instance,
)
from lambda_ai_cloud_api_client.api.ssh_keys import add_ssh_key, delete_ssh_key, list_ssh_keys
from lambda_ai_cloud_api_client.client import AuthenticatedClient
from lambda_ai_cloud_api_client.errors import UnexpectedStatus
from lambda_ai_cloud_api_client.models import (
    AddSSHKeyRequest,
    AddSSHKeyResponse200,
    GetInstanceResponse404,
    ImageSpecificationFamily,
    InstanceLaunchRequest,
    InstanceTerminateRequest,
    LaunchInstanceResponse200,
    LaunchInstanceResponse400,
    LaunchInstanceResponse404,
    ListImagesResponse200,
    ListInstancesResponse200,
    ListInstancesResponse401,
    ListInstanceTypesResponse200,
    ListSSHKeysResponse200,
    PublicRegionCode,
    RequestedTagEntry,
    SSHKey,
    TerminateInstanceResponse200,
)

from tests.cloud.client import LAMBDA_KEY, RUNPOD_KEY, RUNPOD_READ_ONLY_KEY
from tests.providers.hand_clouds import HandClouds, hand_clouds
from tests.providers.samples import lambda_offer, request, runpod_offer

Parsed = TypeVar("Parsed")
KEY_NAME = "laptop"
PUBLIC_KEY = "ssh-ed25519 AAAAtests laptop"


@pytest.fixture(scope="module")
def both() -> Iterator[HandClouds]:
    with hand_clouds() as found:
        yield found


@pytest.fixture
def clouds(both: HandClouds) -> Iterator[HandClouds]:
    """Empty, as fast as it is asked, and afterwards every answer was as the schemas say."""
    both.reset()
    both.world.set_knobs("lambda", {"requests_every_seconds": 0, "launches_every_seconds": 0})
    yield both
    assert not both.violations()


def client_of(clouds: HandClouds, key: str) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=clouds.urls["lambda"], token=key, raise_on_unexpected_status=True)


@pytest.fixture
def client(clouds: HandClouds) -> Iterator[AuthenticatedClient]:
    with client_of(clouds, LAMBDA_KEY) as found:
        yield found


def parsed(answer: object, kind: type[Parsed]) -> Parsed:
    """The answer, which must be of that kind."""
    assert isinstance(answer, kind)
    return answer


def launched(client: AuthenticatedClient, **changes: Any) -> object:
    """The answer to a launch with a key that is put there first."""
    keys = parsed(list_ssh_keys.sync(client=client), ListSSHKeysResponse200).data
    if not keys:
        add_ssh_key.sync(client=client, body=AddSSHKeyRequest(name=KEY_NAME, public_key=PUBLIC_KEY))
    given: dict[str, Any] = {
        "region_name": PublicRegionCode.US_EAST_1,
        "instance_type_name": "gpu_1x_a10",
        "ssh_key_names": [KEY_NAME],
        "name": "by-hand",
        "hostname": "by-hand",
        "image": ImageSpecificationFamily(family="lambda-stack-24-04"),
        "user_data": "#cloud-config\n{}",
        "tags": [RequestedTagEntry(key="team", value="tests")],
    }
    return launch_instance.sync(client=client, body=InstanceLaunchRequest(**(given | changes)))


@pytest.fixture
def machine(client: AuthenticatedClient) -> str:
    """A machine's id."""
    (id,) = parsed(launched(client), LaunchInstanceResponse200).data.instance_ids
    return id


def test_lambdas_client_reads_types_prices_and_places(client: AuthenticatedClient) -> None:
    listed = parsed(list_instance_types.sync(client=client), ListInstanceTypesResponse200).data
    one = listed["gpu_1x_a10"]
    assert (one.instance_type.price_cents_per_hour, one.instance_type.specs.gpus) == (129, 1)
    assert [str(place.name) for place in one.regions_with_capacity_available] == ["us-west-1", "us-east-1"]
    assert listed["gpu_1x_a6000"].regions_with_capacity_available == []


def test_lambdas_client_reads_images(client: AuthenticatedClient) -> None:
    images = parsed(list_images.sync(client=client), ListImagesResponse200).data
    assert "lambda-stack-24-04" in {one.family for one in images}
    assert {str(one.architecture) for one in images} == {"x86_64"}
    assert {one.created_time for one in images} == {datetime(2026, 11, 24, 12, tzinfo=UTC)}


def test_lambdas_client_puts_keys_there_and_takes_them_away(client: AuthenticatedClient) -> None:
    body = AddSSHKeyRequest(name=KEY_NAME, public_key=PUBLIC_KEY)
    added = parsed(add_ssh_key.sync(client=client, body=body), AddSSHKeyResponse200).data
    assert type(added) is SSHKey
    (listed,) = parsed(list_ssh_keys.sync(client=client), ListSSHKeysResponse200).data
    assert (listed.id, listed.name, listed.public_key) == (added.id, KEY_NAME, PUBLIC_KEY)
    delete_ssh_key.sync(client=client, id=added.id)
    assert parsed(list_ssh_keys.sync(client=client), ListSSHKeysResponse200).data == []


def test_lambdas_client_launches_a_machine_and_finds_what_it_asked_for(
    client: AuthenticatedClient, machine: str
) -> None:
    (one,) = parsed(list_instances.sync(client=client), ListInstancesResponse200).data
    assert (one.id, one.name, one.ssh_key_names) == (machine, "by-hand", [KEY_NAME])
    assert (str(one.region.name), one.instance_type.name) == ("us-east-1", "gpu_1x_a10")
    assert isinstance(one.tags, list)
    assert [(tag.key, tag.value) for tag in one.tags] == [("team", "tests")]


def test_lambdas_client_reads_every_status_of_a_machines_life(client: AuthenticatedClient, clouds: HandClouds) -> None:
    clouds.world.set_knobs("lambda", {"pending_seconds": 10.0, "active_seconds": 10.0, "ending_seconds": 10.0})
    (id,) = parsed(launched(client), LaunchInstanceResponse200).data.instance_ids
    seen = []
    for seconds in (5, 10, 10):
        clouds.world.pass_time(seconds)
        (one,) = parsed(list_instances.sync(client=client), ListInstancesResponse200).data
        seen.append((str(one.status), isinstance(one.ip, str)))
    terminate_instance.sync(client=client, body=InstanceTerminateRequest(instance_ids=[id]))
    for seconds in (5, 10):
        clouds.world.pass_time(seconds)
        (one,) = parsed(list_instances.sync(client=client), ListInstancesResponse200).data
        seen.append((str(one.status), one.actions.terminate.available))
    assert seen == [
        ("booting", False),
        ("booting", True),
        ("active", True),
        ("terminating", False),
        ("terminated", False),
    ]


def test_lambdas_client_ends_a_machine_and_is_told_which(client: AuthenticatedClient, machine: str) -> None:
    body = InstanceTerminateRequest(instance_ids=[machine])
    answer = parsed(terminate_instance.sync(client=client, body=body), TerminateInstanceResponse200)
    (one,) = answer.data.terminated_instances
    assert (one.id, str(one.status)) == (machine, "terminating")


def test_lambdas_client_is_told_that_a_machine_is_not_there(client: AuthenticatedClient) -> None:
    answer = parsed(get_instance.sync(client=client, id="0" * 32), GetInstanceResponse404)
    assert answer.error.code == "global/object-does-not-exist"


def test_lambdas_client_is_told_of_a_key_that_is_not_accepted(clouds: HandClouds) -> None:
    with client_of(clouds, "secret_other") as stranger:
        answer = parsed(list_instances.sync(client=stranger), ListInstancesResponse401)
    assert answer.error.code == "global/invalid-api-key"


@pytest.mark.parametrize(
    ("pool", "quota", "changes", "code"),
    [
        (0, 1000, {}, "instance-operations/launch/insufficient-capacity"),
        (1, 0, {}, "global/quota-exceeded"),
        (1, 1000, {"ssh_key_names": []}, "global/invalid-parameters"),
        (1, 1000, {"name": "x" * 65}, "global/invalid-parameters"),
    ],
)
def test_lambdas_client_reads_each_refusal_of_a_launch_by_its_code(
    client: AuthenticatedClient, clouds: HandClouds, pool: int, quota: int, changes: dict[str, Any], code: str
) -> None:
    clouds.lambda_life.scenario.capacity["us-east-1/gpu_1x_a10"] = pool
    clouds.world.set_knobs("lambda", {"quota": quota})
    assert parsed(launched(client, **changes), LaunchInstanceResponse400).error.code == code


def test_lambdas_client_reads_what_a_launch_did_not_find(client: AuthenticatedClient) -> None:
    answer = launched(client, ssh_key_names=["nobodys"])
    assert isinstance(answer, LaunchInstanceResponse400 | LaunchInstanceResponse404)
    assert answer.error.code == "global/object-does-not-exist"


def test_lambdas_client_does_not_know_of_haste(client: AuthenticatedClient, clouds: HandClouds) -> None:
    clouds.world.set_knobs("lambda", {"requests_every_seconds": 1.0})
    list_instances.sync(client=client)
    with pytest.raises(UnexpectedStatus) as caught:
        list_instances.sync(client=client)
    assert caught.value.status_code == 429


def test_the_launch_that_our_own_provider_sends_is_read_without_a_rest(clouds: HandClouds, tmp_path: Path) -> None:
    clouds.lambda_at(tmp_path).create(request(lambda_offer()))
    (sent,) = clouds.calls("lambda.launch")
    read = InstanceLaunchRequest.from_dict(sent.body)
    assert read.additional_properties == {}
    assert read.to_dict() == sent.body


# Runpod


@pytest.fixture(scope="module")
def package() -> Any:
    """The `runpod` package; it has no types, and takes seconds to import."""
    return importlib.import_module("runpod")


@pytest.fixture
def runpod(package: Any, clouds: HandClouds, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, asked to ask here, with the user's key."""
    monkeypatch.setenv("RUNPOD_API_BASE_URL", clouds.urls["runpod"])
    monkeypatch.setattr("runpod.api_key", RUNPOD_KEY)
    return package


@pytest.fixture
def pod(clouds: HandClouds, tmp_path: Path) -> str:
    """The id of a pod that our own provider created."""
    made = clouds.runpod_at(tmp_path).create(request(runpod_offer()))
    clouds.world.pass_time(30)
    return made.id


def test_runpods_package_lists_the_pods_that_rest_created(runpod: Any, pod: str) -> None:
    (one,) = runpod.get_pods()
    assert (one["id"], one["desiredStatus"], one["costPerHr"]) == (pod, "RUNNING", 0.69)
    assert one["name"].startswith("launch-calm-fox-0001-1-")


def test_runpods_package_terminates_a_pod(runpod: Any, pod: str, clouds: HandClouds) -> None:
    runpod.terminate_pod(pod)
    assert not clouds.runpod_life.pods[pod].alive
    assert runpod.get_pods() == []


def test_runpods_package_is_told_of_a_pod_that_is_gone(runpod: Any, pod: str) -> None:
    runpod.terminate_pod(pod)
    with pytest.raises(runpod.error.QueryError, match="pod not found"):
        runpod.terminate_pod(pod)


def test_runpods_package_stops_a_pod_and_still_lists_it(runpod: Any, pod: str) -> None:
    runpod.stop_pod(pod)
    assert [(one["id"], one["desiredStatus"]) for one in runpod.get_pods()] == [(pod, "EXITED")]


def test_runpods_package_is_told_which_pod_was_stopped(runpod: Any, pod: str) -> None:
    assert runpod.stop_pod(pod) == {"id": pod, "desiredStatus": "EXITED"}


def test_runpods_package_is_told_of_a_key_that_is_not_accepted(runpod: Any) -> None:
    with pytest.raises(runpod.error.AuthenticationError):
        runpod.get_pods(api_key="rpa_other")


def test_runpods_package_ends_nothing_with_a_key_that_may_only_read(
    runpod: Any, pod: str, clouds: HandClouds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runpod.api_key", RUNPOD_READ_ONLY_KEY)
    with pytest.raises(runpod.error.QueryError):
        runpod.terminate_pod(pod)
    assert clouds.runpod_life.pods[pod].alive


def test_what_is_not_simulated_is_an_error_and_never_an_empty_answer(runpod: Any) -> None:
    with pytest.raises(runpod.error.QueryError, match="not simulated"):
        runpod.get_gpus()


def test_runpods_package_finds_its_door_closed_as_it_will_be(runpod: Any, clouds: HandClouds) -> None:
    clouds.world.set_knobs("runpod", {"graphql_gone": True})
    with pytest.raises(ValueError, match="Expecting value"):
        runpod.get_pods()


def test_a_file_that_runpods_package_wrote_is_where_our_provider_finds_the_key(
    package: Any, clouds: HandClouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / ".runpod" / "config.toml")
    monkeypatch.setattr("runpod.cli.groups.config.functions.CREDENTIAL_FILE", file)
    package.set_credentials(RUNPOD_KEY, profile="work")
    environ = {"RUNPOD_API_BASE_URL": clouds.urls["runpod"], "HOME": str(tmp_path)}
    provider = clouds.runpod_at(tmp_path, environ, settings={"profile": "work"})
    assert provider.list() == ()

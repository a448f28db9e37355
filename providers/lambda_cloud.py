"""Lambda Cloud: on-demand GPU machines by the hour's price in whole cents, billed by the minute, by API v1 over httpx.

Quirks that shape this file and the private ones beside it (`lambda_*.py`):
- There is no token: a create call is sent once, and its machine is found by its name and tags (`marks`).
- One request a second and one launch in 12 s, for the whole account: all our processes share one pace (`lambda_calls`).
- A power-off does not end the bill, and nothing else does either but the terminate call: machines there are unguarded,
  unless the user puts a key on them (`lambda_settings.KEY_DEADMAN`, `lambda_end.sh`).
- The address comes before the status says `active`, and SSH may answer before or after that.
- `unhealthy` comes on arrival, too, and may be billed: such a machine goes back at once.
- Exactly one SSH key, by a name in the account: ours is made for the run, and removed after it.
- Types without capacity anywhere are listed with no region: asking for one would only burn a turn.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pricing.offer import Billing, Offer
from providers import lambda_check, lambda_settings, marks, reading
from providers.base import (
    Ambiguous,
    AuthFailed,
    Boot,
    BootFile,
    Busy,
    ContractBroken,
    Finding,
    Instance,
    InstanceRequest,
    InstanceState,
    Leftover,
    NoCapacity,
    NotFound,
    OfferQuery,
    ProviderError,
    Surroundings,
    Throttled,
    Traits,
    Unavailable,
    Unreachable,
)
from providers.cloud_init import GUARD_DIR, user_data
from providers.lambda_calls import MISSING, Calls
from providers.lambda_machines import ANYWHERE, is_anothers, is_ours, offers, shown
from providers.lambda_settings import NAME
from providers.reading import Odd, Row, maybe_text, rows, text
from providers.rest import key_mark
from providers.silent import Silent

LOOK_TURNS = 3
"""A look at a machine that boots takes a turn of three: the account's other requests need some too."""
TRAITS = Traits(
    bills=True,
    guarded=False,
    guard="nothing, unless you put a key on it (docs/lambda.md) or `launch reap` runs elsewhere",
    spot=False,
    idempotent_create=False,
    boot_deadline_seconds=1200,
    settle_seconds=300,
    guard_delay_seconds=120,
    billing=Billing(granularity_seconds=60, minimum_seconds=60),
    one_list=True,
    look_seconds=LOOK_TURNS * lambda_settings.SECONDS_BETWEEN_REQUESTS,
    first_use=True,
)
PLACES = ("LAMBDA_API_BASE_URL",)
KEY_GUARD = "a key of yours on the machine, with which it ends itself"
DEADMAN_FIX = "make a key for this alone at cloud.lambda.ai/api-keys, and export it as LAMBDA_DEADMAN_API_KEY"
MOST_NAME = 64
MOST_USER_DATA_BYTES = 1_000_000
END = Path(__file__).with_name("lambda_end.sh")
KEY_KIND = "ssh key"


@dataclass(frozen=True, kw_only=True)
class Key:
    """A public key in the account."""

    id: str
    name: str
    public: str


def connect(surroundings: Surroundings) -> "Lambda":
    """Lambda as the surroundings say; raises `NotSetUp` for wrong settings. Nothing is asked over the network yet."""
    return Lambda(surroundings)


class Lambda(Silent):
    """The verbs of `providers.base.Provider`."""

    name = NAME

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._settings = lambda_settings.read(surroundings.settings)
        self._calls = Calls(surroundings, self._settings)
        self._keys: set[str] = set()
        self._odd: set[str] = set()
        own = replace(TRAITS, look_seconds=LOOK_TURNS * self._settings.seconds_between_requests)
        self.traits = replace(own, guarded=True, guard=KEY_GUARD) if self._has_key_deadman else own

    def check(self) -> tuple[Finding, ...]:
        """The key, the clock, what the interface says today, and what guards a machine there."""
        return lambda_check.findings(self._calls, self._around, self.traits, self._has_key_deadman)

    def offers(self, query: OfferQuery) -> tuple[Offer, ...]:
        """A row for each machine type and region that has some; types that are sold out everywhere say so."""
        regions = query.regions or self._settings.regions
        wanted = replace(query, regions=())
        now = self._around.now()
        try:
            types = reading.row(self._calls.read("/instance-types"), "data")
        except Odd as odd:
            raise reading.unusable("Lambda", odd) from odd
        found = list(offers(types, wanted, self.traits, now, regions))
        self._odd |= {str(one) for one in found if isinstance(one, Odd)}
        kept = [one for one in found if isinstance(one, Offer)]
        return tuple(one for one in kept if not query.regions or one.region != ANYWHERE)

    def create(self, request: InstanceRequest) -> Instance:
        """One launch call, sent once. Its key is put into the account before, which costs nothing."""
        offer = request.offer
        if offer.region == ANYWHERE:
            raise NoCapacity(f"Lambda shows no {offer.instance_type} free anywhere", code="sold-out")
        name = marks.name_of(request, self._around.owner_id, MOST_NAME)
        key = self._key_for(request.run_id, request.boot.authorized_key)
        tags = self._tags(request)
        body = {
            "region_name": offer.region,
            "instance_type_name": offer.instance_type,
            "ssh_key_names": [key],
            "name": name,
            "image": {"family": self._settings.image_family},
            "user_data": user_data(self._booted(request.boot, name), _end(), MOST_USER_DATA_BYTES),
            "tags": tags,
        }
        try:
            answer = self._calls.launch(body)
        except NotFound as error:
            raise self._missing(error, key, request) from error
        return self._made(answer, body)

    def account(self) -> str:
        """By the key: nothing there tells the account cheaply."""
        return key_mark(self._calls)

    def get(self, instance: Instance) -> Instance:
        """The machine now, with its price; an id that we hold counts, whatever marks are shown, but another owner's."""
        try:
            found = reading.row(self._calls.read(f"/instances/{instance.id}"), "data")
            if is_anothers(found, self._around.owner_id):
                raise NotFound(f"{instance.id} is not ours", code="absent")
            return self._shown(found)
        except Odd as odd:
            raise reading.unusable("Lambda", odd) from odd

    def list(self, region: str | None = None) -> tuple[Instance, ...]:
        """Ours that have not ended, everywhere: one call shows the whole account."""
        del region
        try:
            listed = rows({"data": self._calls.read("/instances")}, "data")
            ours = [self._shown(one) for one in listed if is_ours(one, self._around.owner_id)]
        except Odd as odd:
            raise reading.unusable("Lambda", odd) from odd
        return tuple(one for one in ours if one.state is not InstanceState.GONE)

    def terminate(self, instance: Instance) -> None:
        """One id a call; a machine that Lambda does not know any more is as good as ended."""
        try:
            self._calls.act("/instance-operations/terminate", {"instance_ids": [instance.id]})
        except NotFound:
            return

    def leftovers(self) -> tuple[Leftover, ...]:
        """Keys that were put into the account for a run."""
        return tuple(
            Leftover(
                provider=NAME,
                kind=KEY_KIND,
                id=one.id,
                region="",
                run_id=one.name.removeprefix(self._key_prefix),
                billed=False,
                text=one.name,
            )
            for one in self._listed_keys()
        )

    def remove(self, leftover: Leftover) -> None:
        """Remove a key; gone already is as good."""
        if leftover.kind != KEY_KIND:
            raise ContractBroken(f"{leftover.kind!r} is nothing that launch makes at Lambda")
        self._keys.discard(leftover.text)
        try:
            self._calls.act(f"/ssh-keys/{leftover.id}", None, method="DELETE")
        except NotFound:
            return

    @property
    def _has_key_deadman(self) -> bool:
        return self._settings.deadman == lambda_settings.KEY_DEADMAN

    def _booted(self, boot: Boot, name: str) -> Boot:
        """What ends the machine lies on it as a file, with the user's own key where the user wants that."""
        files = [BootFile(path=f"{GUARD_DIR}/end.sh", content=END.read_text("utf-8"), mode=0o755)]
        if self._has_key_deadman:
            told = {"url": self._calls.base_url, "key": self._deadman_key(), "name": name}
            files.append(BootFile(path=f"{GUARD_DIR}/end.json", content=json.dumps(told), mode=0o600))
        return replace(boot, files=(*boot.files, *files))

    def _deadman_key(self) -> str:
        key = self._around.environ.get("LAMBDA_DEADMAN_API_KEY", "").strip()
        if not key:
            text = "providers.lambda.deadman is api-key, and LAMBDA_DEADMAN_API_KEY is not set"
            raise AuthFailed(text, code="no-deadman-key", fix=DEADMAN_FIX)
        if self._calls.is_main_key(key):
            text = (
                "LAMBDA_DEADMAN_API_KEY is the key with which launch rents: on a machine it would be the job's to use"
            )
            raise AuthFailed(text, code="main-key", fix=DEADMAN_FIX)
        return key

    def _tags(self, request: InstanceRequest) -> Sequence[Row]:
        tags = {
            "launch:owner": self._around.owner_id,
            "launch:run": request.run_id,
            "launch:attempt": str(request.attempt),
            "launch:nonce": request.nonce,
            "launch:deadline": request.deadline.isoformat(),
            "launch:created": self._around.now().isoformat(),
        }
        return [{"key": one, "value": value} for one, value in tags.items()]

    def _made(self, answer: Any, body: Row) -> Instance:
        try:
            (id,) = [one for one in reading.row(answer, "data").get("instance_ids", ()) if isinstance(one, str)]
        except (Odd, ValueError, TypeError) as error:
            raise Ambiguous("Lambda's answer to launch names no machine", code="incomplete") from error
        found = {
            "id": id,
            "name": body["name"],
            "status": "booting",
            "region": {"name": body["region_name"]},
            "instance_type": {"name": body["instance_type_name"]},
            "tags": body["tags"],
        }
        return self._shown(found)

    def _shown(self, found: Row) -> Instance:
        return shown(found, self._settings.ssh_port, self._around.now())

    @property
    def _key_prefix(self) -> str:
        return f"launch-{self._around.owner_id[: marks.OWNER_SIGNS]}-"

    def _listed_keys(self) -> Sequence[Key]:
        """Ours in the account."""
        try:
            listed = rows({"data": self._calls.read("/ssh-keys")}, "data")
            ours = [one for one in listed if maybe_text(one, "name").startswith(self._key_prefix)]
            return [_key(one) for one in ours]
        except Odd as odd:
            raise reading.unusable("Lambda", odd) from odd

    def _key_for(self, run_id: str, public: str) -> str:
        """The name of the run's key in the account; made unless it is there.

        Raises `Throttled` for an unclear answer: no launch was sent, so no machine is in doubt; a later try looks anew.
        """
        name = f"{self._key_prefix}{run_id}"
        if name in self._keys:
            return name
        try:
            there = [one for one in self._listed_keys() if one.name == name]
            for other in [one for one in there if not _same_key(one.public, public)]:
                with contextlib.suppress(NotFound):
                    self._calls.act(f"/ssh-keys/{other.id}", None, method="DELETE")
                there.remove(other)
            if not there:
                self._calls.act("/ssh-keys", {"name": name, "public_key": public})
        except Unreachable:
            raise
        except (Ambiguous, Busy, Unavailable) as error:
            raise Throttled(f"the run's key is not in the account yet: {error.text}", code=error.code) from error
        self._keys.add(name)
        return name

    def _missing(self, error: NotFound, key: str, request: InstanceRequest) -> Throttled | NoCapacity:
        """What does not exist may be our key (removed by somebody: made again), else the type, region or image."""
        self._keys.discard(key)
        try:
            is_there = any(one.name == key for one in self._listed_keys())
        except ProviderError:
            is_there = False  # not known: the next try looks, and the launch itself was refused
        if not is_there:
            return Throttled(error.text, code=error.code)
        return NoCapacity(f"Lambda does not know what was asked for: {error.text}", code=MISSING)


def _end() -> tuple[str, ...]:
    return ("sh", f"{GUARD_DIR}/end.sh")


def _key(found: Row) -> Key:
    return Key(id=text(found, "id"), name=text(found, "name"), public=maybe_text(found, "public_key"))


def _same_key(one: str, other: str) -> bool:
    """Whether two lines are the same public key, whatever their comments."""
    return one.split()[:2] == other.split()[:2]

"""R8: secrets are planted where a person has them, and looked for in everything that a day leaves behind."""

from collections.abc import Iterable, Iterator, Mapping

from tests.canaries import CANARIES, holding, holding_below
from tests.soak.disk import TREES
from tests.soak.storm import Storm

PLANTED: Mapping[str, str] = {
    "HF_TOKEN": CANARIES["hub-token"],
    "JOB_SECRET": CANARIES["job-secret"],
    "AWS_SECRET_ACCESS_KEY": CANARIES["aws-secret"],
    "AWS_SESSION_TOKEN": CANARIES["aws-session"],
    "LAMBDA_API_KEY": CANARIES["lambda-key"],
    "RUNPOD_API_KEY": CANARIES["runpod-key"],
}
"""By variable: what the person's environment holds. The first two are named by `--secret`."""
SECRETS = ("HF_TOKEN", "JOB_SECRET")


def leaks(storm: Storm) -> Iterator[str]:
    """Where a planted secret was found: on the disk, in what was told, in what went to a cloud or to a machine."""
    for tree in TREES:
        yield from holding_below(storm.folder / tree)
    stored = {} if storm.storing is None else storm.storing.bucket.content
    sinks: dict[str, Iterable[object]] = {
        "an event": storm.heard.events,
        "an error": [(one.message, one.hint, one.detail, one.code) for one in (*storm.errors, *storm.heard.failures)],
        "an error's cause": [repr(one.__cause__) for one in storm.errors],
        "a create call": [one.request for one in storm.cloud.machines()],
        "a remote command": storm.site.argv_seen,
        "the durable store": stored.items(),
    }
    for name, things in sinks.items():
        yield from (f"{name}: {told}" for told in holding("\n".join(map(repr, things))))

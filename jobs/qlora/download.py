"""Bring the base model: shipped in the bundle, or from the Hub at its pinned revision; safetensors only."""

from __future__ import annotations

import os
from pathlib import Path

from .job import Job, give_up, read_job, write_json

# Weights as pickles can run code when loaded, and the consolidated file holds the same weights a second time.
WANTED = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.txt")
UNWANTED = ("consolidated*", "*.bin", "*.pt", "*.pth", "*/*")


def fetch(name: str, revision: str | None) -> Path:
    """The folder of a model of the Hub; ends with one sentence when it cannot be had."""
    from huggingface_hub import snapshot_download  # late: slow to import, and not needed for a shipped model
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    token = os.environ.get("HF_TOKEN") or None
    said = "the HF_TOKEN that was given" if token else "no HF_TOKEN was given (`launch --secret HF_TOKEN`)"
    try:
        found = snapshot_download(
            name, revision=revision, token=token or False, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)
        )
    except GatedRepoError:
        give_up(f"{name} is gated: accept its terms on its page, and hand in a token that may read it; {said}")
    except RevisionNotFoundError:
        give_up(f"{name} has no revision {revision}: pin one that exists")
    except RepositoryNotFoundError:
        give_up(f"{name} does not exist on the Hub, or it is private and {said}")
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        give_up(f"{name} could not be downloaded: {type(error).__name__}: {str(error).splitlines()[0]}")
    return Path(found)


def locate(job: Job) -> tuple[Path, str, str | None]:
    """Folder, name and revision of the base model."""
    shipped = job.bundle / "base"
    if shipped.is_dir():
        return shipped, job.model, None
    folder = fetch(job.model, job.revision)
    # The folder of a snapshot is named after the commit: what was really read, even if the revision was a branch.
    return folder, job.model, folder.name


def main() -> None:
    """Find the model, see that it can be loaded without a pickle, and note where it lies."""
    job = read_job()
    folder, name, revision = locate(job)
    if not list(folder.glob("*.safetensors")):
        give_up(f"{name} holds no safetensors weights; pickles (.bin, .pt) are not loaded, because they can run code")
    write_json(job.run / "model.json", {"path": str(folder), "name": name, "revision": revision})
    print(f"base model: {name}" + (f" at {revision}" if revision else " (from the bundle)"))


if __name__ == "__main__":
    main()

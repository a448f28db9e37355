"""The whole product once: the real job with the example, on a machine of the test cloud, trained on its CPU."""

import json
from pathlib import Path

import pytest

from tests.cloud.client import REPOSITORY
from tests.launches.drive import JOB
from tests.launches.laptop import LAUNCH, Laptop

pytestmark = [pytest.mark.cloud, pytest.mark.train]

TRAINING_SECONDS = 420
"""On two busy cores."""


def test_the_example_is_really_trained_on_a_rented_machine_and_its_adapter_comes_home(laptop: Laptop) -> None:
    del laptop.environ[JOB]
    said = laptop.type(*LAUNCH, "--job", str(REPOSITORY / "examples" / "support-json")).ended(TRAINING_SECONDS)
    assert said.code == 0, said.err
    scores = {score["arm"]: score["metrics"] for score in said.last["scores"]}
    assert scores["base"]["exact"] <= 0.05
    assert scores["tuned"]["exact"] > 0.85
    assert scores["prompted"]["exact"] <= 0.05
    assert "worth it" in said.last["verdict"]
    assert [(one["name"], one["state"]) for one in said.last["adjacent"]] == [("forms", "dropped")]
    folder = Path(said.last["results"]["dir"])
    assert {"report.html", "MODEL_CARD.md", "try.py"} <= {path.name for path in folder.iterdir()}
    assert json.loads((folder / "adapter" / "adapter_config.json").read_text())["peft_type"] == "LORA"
    assert (folder / "adapter" / "adapter_model.safetensors").stat().st_size > 10_000
    laptop.all_quiet()

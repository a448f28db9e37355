"""The trial of a GPU: what counts as proved, as failed, and as nothing that could be tried; over a torch of our own."""

import json
import sys
from pathlib import Path

import pytest

from jobs.guest.prove import prove
from tests.jobs.guest.box import Box

TENSOR = """
class Tensor:
    def __init__(self, mean=1.0, finite=True):
        self.value, self.finite = mean, finite
    def __matmul__(self, other):
        return Tensor(finite={finite})
    def __sub__(self, other):
        return Tensor({off})
    def __truediv__(self, other):
        return Tensor(self.value / other.value)
    def __float__(self):
        return float(self.value)
    def all(self):
        return self.finite
    def abs(self):
        return self
    def mean(self):
        return self
"""
TORCH = (
    TENSOR
    + """
bfloat16 = "bfloat16"
def randn(*size, device, dtype):
    assert device.startswith("cuda:") and dtype == "bfloat16"
    return Tensor()
def isfinite(tensor):
    return tensor
class cuda:
    @staticmethod
    def init():
        {init}
    @staticmethod
    def device_count():
        return 2
"""
)
FOUR_BITS = """
def quantize_4bit(tensor, quant_type):
    return tensor, "state"
def dequantize_4bit(packed, state):
    return packed
"""


def image(folder: Path, *, init: str = "pass", finite: bool = True, off: float = 0.09, four_bits: bool = True) -> Path:
    """Libraries as an image may have them, to be found before all others."""
    (folder / "torch").mkdir(parents=True)
    (folder / "torch" / "__init__.py").write_text(TORCH.format(init=init, finite=finite, off=off))
    if four_bits:
        (folder / "bitsandbytes").mkdir()
        (folder / "bitsandbytes" / "__init__.py").write_text("")
        (folder / "bitsandbytes" / "functional.py").write_text(FOUR_BITS)
    return folder


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An interpreter of an image, with no library but those that a test puts there."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program, libraries = tmp_path / "bin" / "python", tmp_path / "libraries"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{libraries}" exec "{sys.executable}" -S "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    return libraries


def test_a_card_that_multiplies_and_keeps_4_bits_is_proved(alone: Path) -> None:
    image(alone)
    assert prove() == {"proved": ["bf16", "nf4"], "why": "", "failed": ""}


def test_an_image_without_the_4_bit_library_proves_what_it_can(alone: Path) -> None:
    image(alone, four_bits=False)
    assert prove()["proved"] == ["bf16"]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"init": "raise RuntimeError('CUDA error 802: system not yet initialized')"}, "RuntimeError: CUDA error 802"),
        ({"finite": False}, "AssertionError: a bf16 matrix product came out non-finite"),
        ({"off": 0.7}, "AssertionError: 4-bit weights come back 70% off"),
        ({"off": 0.0}, "AssertionError: 4-bit weights come back 0% off"),
        ({"init": "import os; os.kill(os.getpid(), 11)"}, "torch ended with -11"),
    ],
)
def test_a_card_that_does_not_compute_says_how(alone: Path, broken: dict[str, object], words: str) -> None:
    image(alone, **broken)  # type: ignore[arg-type]  # as `image` takes them
    found = prove()
    assert found["proved"] == []
    assert str(found["failed"]).startswith(words)


def test_a_long_complaint_is_cut(alone: Path) -> None:
    image(alone, init="raise RuntimeError('x' * 5000)")
    assert len(str(prove()["failed"])) == 400


def test_what_torch_prints_beside_does_not_hide_the_answer(alone: Path) -> None:
    image(alone, init="print('a warning'); print('{\"proved\": [\"everything\"]}')")
    assert prove()["proved"] == ["bf16", "nf4"]


def says(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")


@pytest.mark.parametrize("text", ["exit 3", "echo no json", "echo '[]'", "echo 7", "echo", "exec /nothing/here"])
def test_an_interpreter_that_answers_nothing_of_use_proves_nothing_and_fails_nothing(alone: Path, text: str) -> None:
    says(alone.parent / "bin" / "python", text)
    found = prove()
    assert (found["proved"], found["failed"]) == ([], "")
    assert found["why"]


def test_an_interpreter_that_cannot_be_run_is_passed_over(alone: Path) -> None:
    (alone.parent / "bin" / "python").chmod(0o644)
    assert prove()["failed"] == ""


def test_a_gpu_that_is_hidden_on_purpose_is_not_tried(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(alone, init="raise RuntimeError('it was tried')")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert prove() == {"proved": [], "why": "this machine hides its GPU on purpose", "failed": ""}


def test_the_verb_answers_with_one_document(box: Box) -> None:
    found = box.ask("prove")
    assert set(found) == {"proved", "why", "failed"}
    assert json.dumps(found)

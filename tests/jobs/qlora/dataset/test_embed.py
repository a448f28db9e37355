"""Embedders: the one that ships, and one of transformers."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from jobs.qlora.dataset.embed import Remembering, Static, Transformer, embedder
from jobs.qlora.dataset.rows import DataError
from tests.jobs.qlora.dataset.asked import static


def cosine(one: str, two: str) -> float:
    first, second = static().vectors([one, two])
    return float(first @ second)


def test_rows_are_unit_float32_and_an_empty_text_is_close_to_nothing() -> None:
    vectors = static().vectors(["a tent", "", "  "])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-6)
    assert not vectors[1].any()
    assert static().vectors([]).shape[0] == 0


def test_meaning_counts_and_case_does_not() -> None:
    assert cosine("The Tent Is BROKEN", "the tent is broken") == pytest.approx(1, abs=1e-6)
    assert cosine("the sofa is damaged", "the couch is broken") > cosine("the sofa is damaged", "boil the rice") + 0.2
    assert cosine("我要退款", "请退款给我") > cosine("我要退款", "今天天气很好")


def test_a_long_text_is_seen_to_its_end() -> None:
    start = "all about tents and camping. " * 300
    assert cosine(start + "quantum physics of neutron stars " * 300, start) < 0.95


def test_a_system_prompt_that_all_share_is_left_out_and_remembered_is_what_was_embedded() -> None:
    system = "system: You are a friendly and helpful support assistant of a camping shop.\n"
    texts = [
        f"{system}user: {text}" for text in ("my tent is broken", "boil rice", "where is my parcel", "pay by card")
    ]
    plain, fitted = static().vectors(texts), static().fitted(texts).vectors(texts)
    assert float(plain[0] @ plain[1]) > float(fitted[0] @ fitted[1]) + 0.2
    assert static().fitted([system] * 5).vectors([system]).any(), "a text that is nothing else stays whole"


def test_a_text_is_embedded_once() -> None:
    seen: list[str] = []

    class Counting(Static):
        def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
            seen.extend(texts)
            return super().vectors(texts)

    remembering = Remembering(Counting())
    remembering.vectors(["a", "b", "a"])
    remembering.vectors(["b"])
    assert seen == ["a", "b"]


def test_nothing_reaches_for_a_network_and_no_client_is_imported() -> None:
    program = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from jobs.qlora.dataset.embed import embedder\n"
        "embedder('static').vectors(['a tent'])\n"
        "found = {'requests', 'huggingface_hub', 'torch', 'wordllama', 'httpx'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("package", "name", "hint"), [("wordllama", "static", "by=exact"), ("transformers", "a/b", "pip install")]
)
def test_without_its_package_a_person_learns_what_to_do(package: str, name: str, hint: str) -> None:
    program = (
        f"import sys\nsys.modules['{package}'] = None\n"
        "from jobs.qlora.dataset.embed import embedder\n"
        "from jobs.qlora.dataset.rows import DataError\n"
        f"try: embedder('{name}')\n"
        "except DataError as error: print(error.message, error.hint, sep='|')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    said, what_to_do = done.stdout.split("|")
    assert package in said
    assert "not installed" in said
    assert hint in what_to_do


def test_a_model_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be loaded") as caught:
        embedder(str(tmp_path))
    assert "static" in caught.value.hint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of 2 layers, with a vocabulary of letters."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("tiny")
    letters = [*"abcdefghijklmnopqrstuvwxyz.", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.train
def test_a_transformer_sees_order_and_the_end_of_a_long_text(tiny: Path) -> None:
    found = Transformer(str(tiny)).vectors(["abc def", "def abc", "abc def", "", "ab " * 200, "ab " * 200 + "z"])
    assert found.shape == (6, 16)
    assert np.linalg.norm(found[[0, 1, 4]], axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert not found[3].any()
    assert np.array_equal(found[0], found[2])
    assert not np.allclose(found[0], found[1])
    assert not np.array_equal(found[4], found[5])

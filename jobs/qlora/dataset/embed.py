"""Turn texts into unit vectors whose cosine says how close two texts are; on a laptop's CPU, without a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .rows import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

STATIC_THRESHOLD = 0.3
"""Chosen on one half of the benchmark's domains, judged on the other (tests/dedup, docs/data.md)."""
TRANSFORMER_THRESHOLD = 0.5
"""(assumed) Cosines of sentence encoders run higher; two unrelated questions of one domain rarely reach it."""
BOILERPLATE_SHARE, BOILERPLATE_ROWS = 0.1, 3
"""A line in so many of the texts (and at least so many) is a system prompt or a form, not the question (assumed)."""
BATCH = 1024
"""Texts that are tokenised at once: enough for all cores, and some MB of token lists."""
WINDOW = 256
"""Tokens that a transformer sees at once, as sentence encoders are mostly trained; longer texts go in windows."""


class Embedder(Protocol):
    """Whatever makes vectors of texts."""

    @property
    def name(self) -> str:
        """As `data.deduplicate.embedder` names it, and as the data report tells it."""

    @property
    def threshold(self) -> float:
        """The cosine from which two inputs are close, as measured for this embedder (docs/data.md)."""

    def fitted(self, texts: Sequence[str]) -> Embedder:
        """The same embedder, leaving out of what it embeds the lines that many of these texts have in common."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """float32, one row a text, each of length 1 (all zeros for a text with nothing in it)."""


def embedder(name: str) -> Embedder:
    """The embedder of this name: "static" ships with us, else a folder or a Hub name of a sentence-transformers model.

    Call `.fitted(asked of every row of every part)` on it once, then hand it to all stages: it remembers what it has
    embedded.

    Raises:
        DataError: wordllama (or transformers and torch) is not installed, or no model is there.
    """
    return Remembering(Static() if name == "static" else Transformer(name))


class Remembering:
    """An embedder that embeds a text once, and without the lines that most texts share."""

    def __init__(self, inner: Embedder, boilerplate: frozenset[str] = frozenset()) -> None:
        self._inner, self._boilerplate = inner, boilerplate
        self._known: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The inner embedder's."""
        return self._inner.name

    @property
    def threshold(self) -> float:
        """The inner embedder's."""
        return self._inner.threshold

    def fitted(self, texts: Sequence[str]) -> Embedder:
        """With the lines known that stand in a tenth of the distinct texts: a system prompt would make all alike."""
        distinct = set(texts)
        counts = Counter(line for text in distinct for line in {part.strip() for part in text.split("\n")})
        least = max(BOILERPLATE_ROWS, BOILERPLATE_SHARE * len(distinct))
        return Remembering(self._inner, frozenset(line for line, count in counts.items() if count >= least))

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """One row a text; zeros for an empty text."""
        # numpy is late: commands that touch no data must start without it.
        import numpy as np

        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            made = self._inner.vectors([self._own(text) for text in new])
            self._known.update(zip(new, made, strict=True))
        if not texts:
            return np.zeros((0, 1), np.float32)
        return np.stack([self._known[text] for text in texts])

    def _own(self, text: str) -> str:
        """The text without the boilerplate; whole where nothing else is in it."""
        own = "\n".join(line for line in text.split("\n") if line.strip() not in self._boilerplate)
        return own if own.strip() else text


class Static:
    """The mean of fixed vectors of a text's tokens: 256 numbers each, Llama-2 tokens, from the wordllama package.

    The package's own loader looks for its weights in a cache and then on the Hub, and brings an HTTP client along; its
    two files are read here directly, so that nothing can reach for a network. Any length: a mean has no window.
    """

    name = "static"
    threshold = STATIC_THRESHOLD

    def __init__(self) -> None:
        # Late: 16 MB of weights and a tokenizer are read only where rows are compared.
        import importlib.util

        found = importlib.util.find_spec("wordllama")
        if found is None or not found.submodule_search_locations:
            raise DataError(
                "near repeats cannot be found: wordllama, which holds the static embedder, is not installed",
                "pip install wordllama==0.4.0.post1, or compare exactly: --set data.deduplicate.by=exact",
            )
        folder = Path(found.submodule_search_locations[0])
        self._weights, self._tokenizer = _read(folder)

    def fitted(self, texts: Sequence[str]) -> Embedder:
        """Itself: its vectors are fixed."""
        del texts
        return self

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """float32 of (texts, 256)."""
        # Late, as in Remembering.
        import numpy as np

        made = np.zeros((len(texts), self._weights.shape[1]), np.float32)
        for start in range(0, len(texts), BATCH):
            batch = [text.lower() for text in texts[start : start + BATCH]]
            for at, found in enumerate(self._tokenizer.encode_batch(batch, add_special_tokens=False), start):
                if found.ids:
                    made[at] = self._weights[found.ids].mean(0)
        return unit(made)


def _read(folder: Path) -> tuple[Any, Any]:
    """The embedding matrix (float32, 32,000 x 256) and the tokenizer of an installed wordllama."""
    # Late, as in Remembering.
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    weights, tokens = (
        folder / "weights/l2_supercat_256.safetensors",
        folder / "tokenizers/l2_supercat_tokenizer_config.json",
    )
    try:
        matrix = load_file(weights)["embedding.weight"].astype(np.float32)
        tokenizer = Tokenizer.from_str(tokens.read_text("utf-8"))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise DataError(
            f"the installed wordllama has not the weights that are expected ({error})",
            "pip install --force-reinstall wordllama==0.4.0.post1",
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return matrix, tokenizer


class Transformer:
    """A sentence encoder of the Hub or of a folder, mean pooling over its last layer: slower, and sees word order."""

    threshold = TRANSFORMER_THRESHOLD

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            # An extra: torch is gigabytes, and a laptop does without.
            import transformers
        except ImportError as error:
            raise DataError(
                f"the embedder {name} needs transformers and torch, which are not installed here",
                "pip install 'gpu-launch[local]', or use the one that ships: --set data.deduplicate.embedder=static",
            ) from error
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(name)
            self._model: Any = transformers.AutoModel.from_pretrained(name).eval()
        except (OSError, ValueError, ImportError) as error:
            raise DataError(
                f"the embedder {name} cannot be loaded: {str(error).splitlines()[0]}",
                "name a folder or a Hub model of sentence-transformers, or --set data.deduplicate.embedder=static",
            ) from error

    def fitted(self, texts: Sequence[str]) -> Embedder:
        """Itself: its vectors are fixed."""
        del texts
        return self

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """float32 of (texts, hidden size): the mean over all tokens, windows after each other where a text is long."""
        # Late, as in Remembering.
        import numpy as np

        made = np.zeros((len(texts), int(self._model.config.hidden_size)), np.float32)
        for at, text in enumerate(texts):
            if text.strip():
                made[at] = self._mean(text)
        return unit(made)

    def _mean(self, text: str) -> Any:
        """One text's mean over its tokens' last states."""
        # Late, as in __init__.
        import torch

        room = min(WINDOW, getattr(self._model.config, "max_position_embeddings", WINDOW))
        windows = self._tokenizer(text, truncation=True, max_length=room, return_overflowing_tokens=True)["input_ids"]
        with torch.no_grad():
            states = [self._model(input_ids=torch.tensor([window])).last_hidden_state[0] for window in windows]
        return torch.cat(states).mean(0).float().numpy()


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays one, and is close to nothing."""
    # Late, as in Remembering.
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float32)

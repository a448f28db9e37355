"""Ask the fine-tuned model something: python try.py "your text". Needs torch, transformers and peft; no GPU.

The base model is the one of `try.json` beside this file, written on this computer: what the adapter's own config
names came from a rented machine, and is not trusted to choose what is loaded. Only safetensors are read, and no code
of a model's repository is run. A question becomes tokens as it did in training and in the evaluation.
"""

# Copied as `try.py` beside an adapter: it imports nothing of the project. What is heavy, and may be missing, is
# imported inside the functions that need it.
import argparse
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
NEEDED = ("torch", "transformers", "peft")
CLOSING = 3
"""Tokens that a template writes after an answer, at most: the end of the turn, and a newline or two."""


def main() -> int:
    """Answer one question."""
    said = options()
    settings = read_settings()
    need_libraries()
    base = find_base(said.base or settings["model"])
    question = said.question if said.question is not None else read_question()
    tokenizer, model = load(base, settings, whole=said.whole or said.base is not None)
    system = settings["system"] if said.system is None else said.system
    answer(tokenizer, model, prompt_ids(tokenizer, question, system), said.max_new_tokens or limit(settings))
    return 0


def options() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(prog="try.py", description="Ask the fine-tuned model something.")
    parser.add_argument("question", nargs="?", help="your text; without it, standard input is read")
    parser.add_argument("--system", help="another system text than that of the test rows; '' for none")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="the longest answer")
    parser.add_argument("--base", metavar="MODEL", help="where the base model is now: a folder, or a name of the Hub")
    parser.add_argument("--whole", action="store_true", help="load the base unquantised, also on a GPU")
    return parser.parse_args()


def give_up(message: str, hint: str) -> NoReturn:
    """End with what happened and what to do."""
    sys.stderr.write(f"error: {message}\n\nhint: {hint}\n")
    sys.exit(2)


def read_settings() -> dict[str, Any]:
    """What this adapter was trained on, as this computer wrote it down."""
    try:
        settings = json.loads((HERE / "try.json").read_text(encoding="utf-8"))
        return {"revision": None, "four_bit": True, "system": None, **settings, "model": str(settings["model"])}
    except (OSError, ValueError, KeyError, TypeError):
        give_up(f"{HERE / 'try.json'} is missing or damaged", "launch report     # writes it anew")


def need_libraries() -> None:
    """Torch, transformers and peft are here."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        give_up(
            f"{', '.join(missing)} not installed in {sys.executable}",
            f"{sys.executable} -m pip install {' '.join(NEEDED)}",
        )
    if not (HERE / "adapter" / "adapter_model.safetensors").is_file():
        give_up(f"{HERE / 'adapter'} holds no adapter_model.safetensors", "launch pull     # brings the adapter")


def find_base(named: str) -> str:
    """The base model: a folder that is here, as named or beside this file, else a name of the Hub."""
    for place in (Path(named).expanduser(), HERE / named):
        if (place / "config.json").is_file():
            return str(place.resolve())
    if named.startswith((".", "/", "~")) or named.count("/") != 1 or "\\" in named:
        give_up(f"the base model was in {named}, and is not there any more", 'python try.py --base FOLDER "your text"')
    return named


def read_question() -> str:
    """All of standard input."""
    if sys.stdin.isatty():
        sys.stderr.write("your text, then Ctrl-D on an empty line:\n")
    question = sys.stdin.read().strip()
    if not question:
        give_up("there is no question", 'python try.py "your text"')
    return question


def load(base: str, settings: dict[str, Any], *, whole: bool) -> tuple[Any, Any]:
    """Tokenizer, and base with the adapter over it: in 4 bits as in training where there is a GPU and bitsandbytes."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning)  # of peft, about names in transformers
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    revision = None if Path(base).is_dir() else settings["revision"]
    cuda = torch.cuda.is_available()
    quantised = four_bit(torch) if cuda and settings["four_bit"] and not whole else None
    try:
        tokenizer = AutoTokenizer.from_pretrained(HERE / "adapter", trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            base, revision=revision, dtype="auto", use_safetensors=True, trust_remote_code=False,
            quantization_config=quantised, device_map={"": 0} if cuda else None,
        )  # fmt: skip
        tuned = PeftModel.from_pretrained(model, str(HERE / "adapter"), use_safetensors=True)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        give_up(f"the model cannot be loaded: {first}", "hf auth login     # for a gated model; or --base FOLDER")
    return tokenizer, tuned.eval()


def four_bit(torch: Any) -> Any:
    """NF4 as in training; None where bitsandbytes is not installed."""
    if importlib.util.find_spec("bitsandbytes") is None:
        sys.stderr.write("bitsandbytes is not installed: the base is loaded unquantised, and needs more memory\n")
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip


def prompt_ids(tokenizer: Any, question: str, system: str | None = None) -> list[int]:
    """The question as tokens, as in training: a system text stands at the head of the user's turn."""
    content = f"{system}\n\n{question}" if system else question
    chat = [{"role": "user", "content": content}]
    return list(tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False))


def end_ids(tokenizer: Any) -> list[int]:
    """What ends an answer: the tokenizer's own end, and the special token with which the template closes a turn."""
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    last = list(tokenizer.apply_chat_template(chat, return_dict=False))[-CLOSING:]
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    closing = next((one for one in reversed(last) if one in special), None)
    return sorted(known({tokenizer.eos_token_id, closing}))


def known(ids: Iterable[int | None]) -> list[int]:
    """Those that there are."""
    return [one for one in ids if one is not None]


def limit(settings: dict[str, Any]) -> int:
    """The longest answer, in tokens."""
    value = settings.get("max_new_tokens")
    return value if isinstance(value, int) and value > 0 else 256


def answer(tokenizer: Any, model: Any, ids: list[int], longest: int) -> None:
    """Write the answer to standard output as it comes, greedily as in the evaluation."""
    import torch
    from transformers import TextStreamer

    asked = torch.tensor([ids], device=model.device)
    ends = end_ids(tokenizer)
    streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    with torch.inference_mode():
        model.generate(
            input_ids=asked, attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=longest,
            eos_token_id=ends, pad_token_id=ends[0], streamer=streamer,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

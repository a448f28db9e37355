"""Ask the fine-tuned model something: python try.py "your text". Needs torch, transformers and peft; no GPU.

The base model is the one of `try.json` beside this file, written on this computer: what the adapter's own config
names came from a rented machine, and is not trusted to choose what is loaded.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).resolve().parent
NEW_TOKENS = 256


def main() -> int:
    """Answer the one argument."""
    if len(sys.argv) != 2:
        sys.stderr.write('usage: python try.py "your text"\n')
        return 2
    base = json.loads((HERE / "try.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(HERE / "adapter")
    model = AutoModelForCausalLM.from_pretrained(
        base["model"], revision=base["revision"], dtype="auto", low_cpu_mem_usage=True, use_safetensors=True
    )
    tuned = PeftModel.from_pretrained(model, str(HERE / "adapter"), use_safetensors=True)
    chat = [{"role": "user", "content": sys.argv[1]}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        output = tuned.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    sys.stdout.write(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

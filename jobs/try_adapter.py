"""Ask the fine-tuned model something: python try.py "your text". Needs torch, transformers and peft; no GPU."""

import sys
from pathlib import Path

import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent / "adapter"
NEW_TOKENS = 256


def main() -> int:
    """Answer the one argument."""
    if len(sys.argv) != 2:
        sys.stderr.write('usage: python try.py "your text"\n')
        return 2
    tokenizer = AutoTokenizer.from_pretrained(HERE)
    model = AutoPeftModelForCausalLM.from_pretrained(HERE, dtype="auto", low_cpu_mem_usage=True)
    chat = [{"role": "user", "content": sys.argv[1]}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    sys.stdout.write(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The `train` and `export` blocks of `launch.yaml`, in the words of transformers, peft and TRL."""

from typing import Annotated, Literal

from pydantic import Field

from jobs.spec_parts import Count, Part, Share, Text


class Train(Part):
    """How to tune; the defaults suit a small QLoRA run on one card. docs/training.md explains each."""

    method: Literal["qlora", "lora"] = "qlora"
    r: Annotated[int, Field(ge=1, le=1024)] = 16
    lora_alpha: Count = 32
    lora_dropout: Share = 0.05
    target_modules: Annotated[list[Text], Field(min_length=1)] | Literal["all-linear"] = Field(
        default=["q_proj", "v_proj"]
    )
    use_dora: bool = False
    use_rslora: bool = False
    epochs: Annotated[float, Field(gt=0, le=1000)] = 3.0
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: Share = 0.03
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0, le=1000)] = 1.0
    neftune_noise_alpha: Annotated[float, Field(gt=0, le=100)] | None = None
    max_length: Annotated[int, Field(ge=16, le=1 << 20)] = 2048
    packing: bool = False
    per_device_train_batch_size: Count = 4
    gradient_accumulation_steps: Count = 4
    max_steps: Count | None = None
    save_steps: Count = 50
    eval_steps: Count | None = None
    """Steps between two looks at the validation rows; None: at each save."""
    early_stopping_patience: Count | None = None
    """So many looks without a better validation loss end the training; None: it goes on to its last step."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 17


class Export(Part):
    """What is made of the adapter besides: the merged 16-bit model, the adapter as GGUF for llama.cpp."""

    merged: bool = False
    gguf_adapter: bool = False

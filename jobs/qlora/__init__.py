"""The QLoRA job as it is shipped: it imports nothing from outside this folder but its requirements."""

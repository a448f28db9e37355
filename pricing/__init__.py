"""Money, GPUs and time: pure values and functions, no I/O."""

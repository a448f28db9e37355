"""Artifacts of a machine that means harm, and what becomes of them on this computer: `python -m tests.hostile`."""

"""The wire from the machine: one JSON line an event; parser and types only."""

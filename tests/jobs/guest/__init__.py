"""The machine's side, run as it runs on a machine: as processes, by the oldest Python that is here."""

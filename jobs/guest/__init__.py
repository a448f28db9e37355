"""The machine's side: the supervisor of one job and the verbs that the laptop asks; standard library, Python 3.9+."""

"""How well repeats are found, on rows whose paraphrases people wrote and no embedder made."""

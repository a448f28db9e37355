"""The failure catalogue: every row a test by its number, at each provider to which it applies."""

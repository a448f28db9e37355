"""Models behind an endpoint, asked from the laptop: the judge of two answers, and a larger model as a fourth arm."""

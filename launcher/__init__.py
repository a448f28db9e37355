"""The story of a launch: the only room that knows all the others."""

"""Journal first, then signature: the only room that holds the BLS key."""

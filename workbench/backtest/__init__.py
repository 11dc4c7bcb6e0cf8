"""Guards tried on recorded runs: the conditions people write, the features a guard could have known, and what it would have stopped and saved."""

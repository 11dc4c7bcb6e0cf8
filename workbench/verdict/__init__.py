"""How likely a run failed and where to look first: signals of the run and its steps, their weights, and how one's own confirmations move those."""

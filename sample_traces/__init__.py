"""A travel agent to investigate, the incidents it was recorded in, and the one command that records them again: `python -m sample_traces.record`."""

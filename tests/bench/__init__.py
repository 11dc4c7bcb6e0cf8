"""Measurements against floors taken in the same run, by `make bench`. Figures are ratios: seconds mean little on a shared machine."""

"""Runs side by side: aligned step by step, values told apart, and forks counted against unchanged controls."""

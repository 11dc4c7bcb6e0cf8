"""The tests. Each one's docstring is a true sentence about the workbench."""

"""Collectors: one file each, found by walking this package. See CONTRIBUTING.md for the recipe."""

"""Crystallography that everything else is built on: space groups and their Wyckoff positions."""

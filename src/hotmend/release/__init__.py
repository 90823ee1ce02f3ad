"""Releases: the calendar, the catalogue, parity, and the signed repository."""

"""Hotmend: security updates into the memory of running processes."""

__version__ = "0.1.0"

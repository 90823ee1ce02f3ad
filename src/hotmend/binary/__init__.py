"""Bytes to images: ELF files and Debian packages, parsed once at the edge."""

"""A hotpatch into a live process, and out of it again."""

"""The first minute: a real hotpatch on a real server, told step by step.

Everything is done through the ``hotmend`` command, as a user would do it.
"""

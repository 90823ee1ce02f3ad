"""The rules of a fleet: facts in, decisions out. Nothing here talks to anybody."""

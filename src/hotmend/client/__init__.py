"""The control plane as its users reach it: over the REST API, and no other way."""

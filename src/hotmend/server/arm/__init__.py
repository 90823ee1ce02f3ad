"""Azure Resource Manager's surface, as its real clients use it."""

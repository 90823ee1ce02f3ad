"""Two images to a change set: what differs, what may be carried, what must be refused."""

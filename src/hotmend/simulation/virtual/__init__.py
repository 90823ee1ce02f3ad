"""A virtual world for rollouts: one seeded queue of events, no threads, no clock on the wall. The
control plane in it is the real one; machines, people and the network are not there."""

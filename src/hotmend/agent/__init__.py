"""The agent of a machine: finds out what could be installed, does what it is asked, says so."""

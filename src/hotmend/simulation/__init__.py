"""Machines that are not there: agents over the real wire, marked simulated wherever they show."""

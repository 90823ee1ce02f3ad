"""The agents' end of the server: enrolment, and the hot path."""

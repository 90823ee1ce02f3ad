"""What Azure has no API for: machines with an agent, codes to enrol, history, the audit log."""

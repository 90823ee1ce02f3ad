"""Rollouts as the control plane keeps them going: the rules of ``fleet`` over rows in SQL."""

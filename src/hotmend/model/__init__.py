"""The words that cross boundaries. Standard library only; every class is frozen."""

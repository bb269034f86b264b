"""Pure oracles, written from the rulebook and from nothing else."""

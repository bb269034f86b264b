"""The zoo: subjects with one seeded fault each. A check that kills no mutant proves nothing."""

"""Networks of real processes under a seeded schedule of faults, and checkers of what must hold meanwhile."""

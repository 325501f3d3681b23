"""Whole networks of watchers in one thread and one second, under seeded faults."""

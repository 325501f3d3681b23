"""Benchmarks: they print JSON lines and compare within one run; none of them asserts on time."""

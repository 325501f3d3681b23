"""A whole local network in one call: chains, contracts, operators as processes, a protocol and its attacker.

The demo, the benchmarks and the end-to-end tests stand on it. Nothing here runs in an operator's watcher.
"""

"""What an operator sees of a running watcher: logs, health, status and metrics, all read from its statistics.

Nobody imports it but the door.
"""

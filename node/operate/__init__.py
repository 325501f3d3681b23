"""What an operator sees of a running watcher: logs now, health and metrics as they come.

Nobody imports it but the door.
"""

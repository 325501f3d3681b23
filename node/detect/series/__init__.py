"""Signals over time: one integer a block or an hour, judged by their own past and by what moves the
market."""

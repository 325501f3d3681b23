"""The trace detectors on a live chain.

course       what was judged, and what a reorg takes back; no socket
detection    keeps the numbers that rules look up, block by block
"""

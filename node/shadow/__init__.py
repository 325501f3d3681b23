"""The detectors on a live chain, with nothing signed and no key.

course     what was judged, and what a reorg takes back; no socket
follow     heads in, findings out
"""

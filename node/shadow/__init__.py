"""The detectors on a live chain, with nothing signed and no key.

follow     heads in, findings out; what is made of them is `node/live/course.py`
"""

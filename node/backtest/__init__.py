"""A recorded history in, what the detectors would have done with it out."""

"""What is signed, by whom, and when it is enough.

Pure: the same input gives the same bytes anywhere. No I/O, no clock, no trio; time comes in as a value.
Read in this order: types, errors, alert, bls, operators, attestation, certificate, tally,
handover.
"""

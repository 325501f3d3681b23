"""Gossip: attestations out to every operator, and theirs in; it promises availability and nothing else.

Nothing becomes true because gossip said it: what comes in is sized, charged to its sender, parsed and known
to be a member's, and the tally verifies the signature. Read `transport` first; it holds the types of this
room.
"""

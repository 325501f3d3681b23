"""A libp2p and a BLS library of another make, against ours."""

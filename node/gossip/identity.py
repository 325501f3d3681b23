"""The ed25519 identity behind a peer id: what it signs beside its connections, and who has signed."""

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from node.gossip.transport import PeerId

SEED_BYTES = 32


class Identity:
    """A node's own. `seed` has 32 bytes and is shown nowhere."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"Identity: expected a seed of {SEED_BYTES} bytes, got {len(seed)}")
        self.key_pair: KeyPair = create_new_key_pair(seed)
        self.peer_id = PeerId(ID.from_pubkey(self.key_pair.public_key).to_base58())

    def sign(self, data: bytes) -> bytes:
        """64 bytes. Who calls this puts words of its own before the data: no use may pass for another."""
        return bytes(self.key_pair.private_key.sign(data))


def is_signed_by(peer_id: PeerId, data: bytes, signature: bytes) -> bool:
    """Whether the identity behind this peer id signed; False too where the id carries no key."""
    try:
        key = ID.from_base58(peer_id).extract_public_key()
        return key is not None and bool(key.verify(data, signature))
    except Exception:  # noqa: BLE001 - base58, multihash and keys each raise in their own way: nobody has signed
        return False

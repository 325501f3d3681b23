"""Where an operator can be dialed, in its own signed words.

The registry says which peer ids there are; where they listen changes more often than stake does. An operator
announces its addresses, signed by the identity that its peer id names, with a number that only rises, so
that an old announcement cannot be played again. Anybody may pass one on. Wire: MessagePack, canonical:
[network, peer id, sequence, addresses, 64-byte signature], addresses as text in bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from multiaddr import Multiaddr

from consensus.errors import Reason, Refused
from consensus.fields import require_bytes, require_uint
from consensus.types import NetworkId
from consensus.wire import pack, reading, require_canonical
from node.gossip.identity import Identity, is_signed_by
from node.gossip.transport import Addresses, PeerId

MAX_ADDRESSES = 4
MAX_ADDRESS_BYTES = 128
MAX_PEER_ID_BYTES = 96
SIGNATURE_BYTES = 64
HOSTS = frozenset({"ip4", "ip6", "dns", "dns4", "dns6"})
UNSPECIFIED = frozenset({"0.0.0.0", "::"})

_SIGNED_PREFIX = b"tocsin-addresses:"
_FIELDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """An operator's 1 to 4 addresses, each a host and a TCP port. `sequence` rises with each change."""

    network_id: NetworkId
    peer_id: PeerId
    sequence: int
    addresses: Addresses
    signature: bytes

    def __post_init__(self) -> None:
        require_bytes("network_id", self.network_id, 32)
        require_uint("sequence", self.sequence, 64)
        require_bytes("signature", self.signature, SIGNATURE_BYTES)
        if not 1 <= len(self.addresses) <= MAX_ADDRESSES:
            raise Refused(
                Reason.OUT_OF_RANGE,
                f"1 to {MAX_ADDRESSES} addresses are announced, came {len(self.addresses)}",
            )
        for address in self.addresses:
            require_dialable(address)

    def signed_bytes(self) -> bytes:
        """What the identity signs."""
        return _SIGNED_PREFIX + pack(_unsigned(self))


def announce(
    identity: Identity, network_id: NetworkId, *, sequence: int, addresses: Addresses
) -> Announcement:
    """Sign where we are. Raises Refused for addresses that peers would refuse."""
    unsigned = Announcement(
        network_id=network_id,
        peer_id=identity.peer_id,
        sequence=sequence,
        addresses=addresses,
        signature=bytes(SIGNATURE_BYTES),
    )
    return Announcement(
        network_id=network_id,
        peer_id=identity.peer_id,
        sequence=sequence,
        addresses=addresses,
        signature=identity.sign(unsigned.signed_bytes()),
    )


def require_signed(announcement: Announcement) -> None:
    """Raises Refused unless the identity behind its peer id signed it."""
    if not is_signed_by(announcement.peer_id, announcement.signed_bytes(), announcement.signature):
        raise Refused(
            Reason.FORGED_ANNOUNCEMENT, f"the announcement must be signed by {announcement.peer_id}, is not"
        )


def encode_announcement(announcement: Announcement) -> bytes:
    """The canonical wire bytes."""
    return pack([*_unsigned(announcement), announcement.signature])


def decode_announcement(data: bytes) -> Announcement:
    """Parse a stranger's bytes. Raises Refused; never anything else. The signature is not looked at."""
    with reading("an announcement", data) as unpacker:
        fields = unpacker.unpack()
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        raise Refused(Reason.WRONG_LENGTH, f"an announcement has {_FIELDS} fields")
    network_id, peer_id, sequence, addresses, signature = fields
    if not isinstance(addresses, list):
        raise Refused(Reason.WRONG_TYPE, f"addresses must be an array, came {type(addresses).__name__}")
    announcement = Announcement(
        network_id=network_id,
        peer_id=PeerId(_text("peer_id", peer_id, MAX_PEER_ID_BYTES)),
        sequence=sequence,
        addresses=tuple(_text("address", each, MAX_ADDRESS_BYTES) for each in addresses),
        signature=signature,
    )
    require_canonical("an announcement", data, encode_announcement(announcement))
    return announcement


def require_dialable(address: str) -> None:
    """Raises Refused unless the address is a host and a TCP port, and no wildcard."""
    try:
        protocols = [protocol.name for protocol in Multiaddr(address).protocols()]
        host = Multiaddr(address).value_for_protocol(protocols[0])
    except Exception as error:  # multiaddr raises a tree of its own, and others
        raise Refused(Reason.ADDRESS_INVALID, f"expected a multiaddr, came {address!r:.80}") from error
    if len(protocols) != 2 or protocols[0] not in HOSTS or protocols[1] != "tcp" or host in UNSPECIFIED:
        raise Refused(
            Reason.ADDRESS_INVALID,
            f"expected a host and a TCP port such as /ip4/192.0.2.1/tcp/4601, came {address}",
        )


def dialable(addresses: Iterable[str]) -> Addresses:
    """Those of our own listening addresses that may be announced, without the peer id at their end."""
    found = []
    for address in addresses:
        place = address.partition("/p2p/")[0]
        try:
            require_dialable(place)
        except Refused:
            continue
        found.append(place)
    return tuple(found[:MAX_ADDRESSES])


class AddressBook:
    """The newest announcement of each operator. Bounded by the set: nobody else's is kept."""

    def __init__(self) -> None:
        self._newest: dict[PeerId, Announcement] = {}
        self._members: frozenset[PeerId] = frozenset()

    def keep_only(self, members: Iterable[PeerId]) -> None:
        """Whose announcements are kept from now on."""
        self._members = frozenset(members)
        self._newest = {peer: each for peer, each in self._newest.items() if peer in self._members}

    def take(self, announcement: Announcement) -> bool:
        """Keep it where it is newer than what is known; whether it was. Raises Refused for a bad one."""
        if announcement.peer_id not in self._members:
            raise Refused(
                Reason.STRANGER_AUTHOR,
                f"{announcement.peer_id} is no operator's peer id in any epoch that is kept",
            )
        known = self._newest.get(announcement.peer_id)
        if known is not None and announcement.sequence <= known.sequence:
            return False
        require_signed(announcement)
        self._newest[announcement.peer_id] = announcement
        return True

    def all(self) -> tuple[Announcement, ...]:
        """What is known, by peer id."""
        return tuple(self._newest[peer] for peer in sorted(self._newest))


def _unsigned(announcement: Announcement) -> list[object]:
    return [
        announcement.network_id,
        announcement.peer_id.encode(),
        announcement.sequence,
        [address.encode() for address in announcement.addresses],
    ]


def _text(name: str, value: object, limit: int) -> str:
    if not isinstance(value, bytes):
        raise Refused(Reason.WRONG_TYPE, f"{name} must be bytes, came {type(value).__name__}")
    if len(value) > limit:
        raise Refused(Reason.OVERSIZED, f"{name} may have {limit} bytes, came {len(value)}")
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        raise Refused(Reason.ADDRESS_INVALID, f"{name} must be ASCII, came {value[:40]!r}") from None

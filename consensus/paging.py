"""Where a chain keeps the operators' keys, and the certificate that points at them instead of carrying them.

Twin of contracts/src/libraries/{KeyPages,PlacementLib}.sol and of PagedQuorumVerifier's certificate;
tests/vectors/paged.json ties them. Header, digest and signature are those of the flat certificate: only how
the absent or the signers are listed differs.

    page         code of a contract: a STOP, then 1 to 127 keys of 192 bytes
    page id      hash of the code that creates the page
    placement    p u8 | p * page id 32 | n * (page u8 | slot u8 | weight u96)
    certificate  header 302 | sigma 96 (x | y) | mode u8 | k u16 | placement | k * index u16

Mode 2 lists the absent, mode 3 the signers, at least one of them. A chain knows one placement of each set:
the first that somebody bound, as its event says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from consensus.bls import PUBLIC_KEY_BYTES
from consensus.certificate import Certificate, encode_certificate
from consensus.errors import Reason, Refused
from consensus.fields import keccak256, require_bytes, require_uint
from consensus.operators import OperatorSet
from consensus.types import Weight

KEYS_PER_PAGE = 127
"""One more, and the code would pass EIP-170's 24,576 bytes."""

MAX_PAGES = 8
PAGE_ID_BYTES = 32
PLACE_BYTES = 14

# PUSH2 length, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN; the code follows
_PUSH2 = b"\x61"
_RETURN_CODE = bytes.fromhex("80600a3d393df3")
_STOP = b"\x00"


class PagedMode(IntEnum):
    """Whom a paged certificate's indices list."""

    ABSENT = 2
    SIGNERS = 3


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Keys as they stand on a chain, 192 bytes each. Not parsed, for anybody may write any page."""

    keys: bytes

    def __post_init__(self) -> None:
        count, rest = divmod(len(self.keys), PUBLIC_KEY_BYTES)
        if rest or not 1 <= count <= KEYS_PER_PAGE:
            raise Refused(
                Reason.WRONG_LENGTH,
                f"a page has 1 to {KEYS_PER_PAGE} keys of {PUBLIC_KEY_BYTES} bytes, "
                f"came {len(self.keys)} bytes",
            )

    def id(self) -> bytes:
        """Hash of the code that creates the page: the same on every chain."""
        code = _STOP + self.keys
        return keccak256(_PUSH2 + len(code).to_bytes(2, "big") + _RETURN_CODE + code)

    def slots(self) -> dict[bytes, int]:
        """The slot of each key."""
        starts = range(0, len(self.keys), PUBLIC_KEY_BYTES)
        return {self.keys[start : start + PUBLIC_KEY_BYTES]: slot for slot, start in enumerate(starts)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One operator: which of the placement's pages, which key of that page, and what the operator weighs."""

    page: int
    slot: int
    weight: Weight

    def __post_init__(self) -> None:
        require_uint("page", self.page, 8)
        require_uint("slot", self.slot, 8)
        require_uint("weight", self.weight, 96)

    def to_bytes(self) -> bytes:
        """The 14 bytes."""
        return bytes((self.page, self.slot)) + self.weight.to_bytes(12, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The operators of one set in order of index, and the pages that their keys are on."""

    pages: tuple[KeyPage, ...]
    places: tuple[Place, ...]

    def to_bytes(self) -> bytes:
        """What a chain binds, and what certificates carry."""
        return b"".join(
            (
                bytes([len(self.pages)]),
                *(page.id() for page in self.pages),
                *(place.to_bytes() for place in self.places),
            )
        )


def place_keys(operator_set: OperatorSet, known: Sequence[KeyPage] = ()) -> Placement:
    """A placement over `known` pages as far as they serve, and new ones.

    Those of its pages that are not known must be written before it can be bound. Give it the known pages that
    hold some of these keys: strangers may have written any number of others.
    """
    pages = choose_pages([operator.public_key.raw for operator in operator_set.operators], known)
    found: dict[bytes, tuple[int, int]] = {}
    for number, page in enumerate(pages):
        for key, slot in page.slots().items():
            found.setdefault(key, (number, slot))
    spots = [(operator.weight, *found[operator.public_key.raw]) for operator in operator_set.operators]
    return Placement(
        pages=pages,
        places=tuple(Place(page=page, slot=slot, weight=weight) for weight, page, slot in spots),
    )


def choose_pages(keys: Sequence[bytes], known: Sequence[KeyPage]) -> tuple[KeyPage, ...]:
    """At most MAX_PAGES pages that hold all keys: known ones, most useful first, and new ones for the rest.

    A known page is passed over where pages for the rest would be too many: its keys are written once more.
    """
    chosen: list[KeyPage] = []
    rest = list(keys)
    slots = {page: page.slots() for page in known}
    while slots:
        page = max(slots, key=lambda each: sum(key in slots[each] for key in rest))
        left = [key for key in rest if key not in slots[page]]
        if len(left) == len(rest) or len(chosen) + 1 + _count_pages(left) > MAX_PAGES:
            break
        chosen.append(page)
        rest = left
    new = (rest[start : start + KEYS_PER_PAGE] for start in range(0, len(rest), KEYS_PER_PAGE))
    return (*chosen, *(KeyPage(b"".join(each)) for each in new))


def encode_paged_certificate(certificate: Certificate, placement: bytes) -> bytes:
    """The calldata bytes with the shorter list; flat where nobody is absent, as nothing is shorter.

    `placement` is the one that the chain has bound for the certificate's set.
    """
    if not certificate.absent:
        return encode_certificate(certificate)
    is_signers = len(certificate.present) < len(certificate.absent)
    mode = PagedMode.SIGNERS if is_signers else PagedMode.ABSENT
    return encode_paged_certificate_as(certificate, placement, mode)


def encode_paged_certificate_as(certificate: Certificate, placement: bytes, mode: PagedMode) -> bytes:
    """The calldata bytes in a given mode. With nobody absent there is nobody whom ABSENT could list."""
    operators = certificate.absent if mode is PagedMode.ABSENT else certificate.present
    if not operators:
        raise Refused(Reason.MODE_INVALID, "mode 2 lists at least one absent operator; encode it flat")
    count = len(certificate.absent) + len(certificate.present)
    pages = placement[0] if placement else 0
    require_bytes("placement", placement, 1 + pages * PAGE_ID_BYTES + count * PLACE_BYTES)
    return b"".join(
        (
            certificate.header,
            certificate.signature.to_xy_bytes(),
            bytes([mode]),
            len(operators).to_bytes(2, "big"),
            placement,
            *(operator.index.to_bytes(2, "big") for operator in operators),
        )
    )


def _count_pages(keys: Sequence[bytes]) -> int:
    return -(-len(keys) // KEYS_PER_PAGE)

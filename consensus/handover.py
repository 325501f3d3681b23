"""How one operator set passes the watch to the next: what both sign, and the certificates that prove it.

Twin of contracts/src/libraries/HandoverLib.sol, and of what contracts/src/verifier/OperatorSetChain.sol asks
of a handover where a set is its header; tests/vectors/handovers.json ties them. A relayer holds a handover
against what a chain knows before it pays for the transaction. That a header says the truth about the
registry is for its signers to see, at a finalized block; resets are the chain's own.
"""

from dataclasses import dataclass, replace

from eth_abi.abi import encode

from consensus.bls import Purpose
from consensus.certificate import (
    MIN_CERTIFICATE_BYTES,
    CertificateProof,
    decode_certificate,
    measure,
    meets,
    require_signed,
)
from consensus.errors import Reason, Refused
from consensus.fields import keccak256, require_bytes, require_uint
from consensus.operators import HEADER_BYTES, Header, OperatorSet, parse_header
from consensus.types import Digest, Epoch, HeaderHash, NetworkId, Seconds

HANDOVER_TYPEHASH = keccak256(
    b"TocsinHandover(bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash)"
)

QUORUM = (2, 3)
"""Share of its weight, as (numerator, denominator), that the signers of either set must *exceed*."""

_EPOCH_BYTES = 4
_HANDOVER_ABI = ("bytes32", "bytes32", "uint32", "bytes32", "bytes32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What both sets sign: the set of `epoch` passes the watch to the one named. Once per operator and epoch.

    A set goes by the hash under which a chain keeps it; where BLS is checked that is its header's.
    """

    network_id: NetworkId
    epoch: Epoch
    set_hash: HeaderHash
    next_set_hash: HeaderHash

    def __post_init__(self) -> None:
        require_bytes("network_id", self.network_id, 32)
        require_uint("epoch", self.epoch, 32)
        require_bytes("set_hash", self.set_hash, 32)
        require_bytes("next_set_hash", self.next_set_hash, 32)

    def digest(self) -> Digest:
        """The 32 bytes that operators sign under the handover tag."""
        values = (HANDOVER_TYPEHASH, self.network_id, self.epoch, self.set_hash, self.next_set_hash)
        return Digest(keccak256(encode(_HANDOVER_ABI, values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverProof:
    """The calldata of a handover: a certificate of either set over the same digest."""

    outgoing: bytes
    incoming: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledSets:
    """What a chain knows of the operator sets of one network, and how fast they may follow one another.

    `previous_hash` is None on a chain that has had no other set than its current one.
    """

    network_id: NetworkId
    min_epoch_interval: Seconds
    current: Header
    previous_hash: HeaderHash | None = None


def compute_handover(network_id: NetworkId, outgoing: OperatorSet, incoming: OperatorSet) -> Handover:
    """What the operators of both sets sign. Raises Refused where the second does not follow the first."""
    _require_next(outgoing.epoch, incoming.epoch)
    _require_previous(outgoing.header_hash(), incoming.prev_header_hash)
    return Handover(
        network_id=network_id,
        epoch=outgoing.epoch,
        set_hash=outgoing.header_hash(),
        next_set_hash=incoming.header_hash(),
    )


def verify_handover(proof: HandoverProof, *, installed: InstalledSets, now: Seconds) -> InstalledSets:
    """What the chain knows after this handover at `now`; the same where it knew the set. Raises Refused.

    In the contract's order: what is known already, the new header, its place after the current set, both
    weights, and only then the two pairings.
    """
    if len(proof.incoming) < MIN_CERTIFICATE_BYTES:
        raise Refused(
            Reason.TRUNCATED,
            f"a certificate has at least {MIN_CERTIFICATE_BYTES} bytes, came {len(proof.incoming)}",
        )
    if _is_known(proof.incoming[:HEADER_BYTES], installed):
        return installed
    _require_in_time(parse_header(proof.incoming[:HEADER_BYTES]), now)
    incoming, outgoing = decode_certificate(proof.incoming), decode_certificate(proof.outgoing)
    _require_successor(incoming.header, outgoing.header, installed=installed, now=now)
    for certificate in (outgoing, incoming):
        _require_quorum(certificate)
    digest = Handover(
        network_id=installed.network_id,
        epoch=installed.current.epoch,
        set_hash=outgoing.header.hash(),
        next_set_hash=incoming.header.hash(),
    ).digest()
    # two checks, never one of the keys' sum: the new set could name X - apk as its key, and sign with X alone
    for certificate in (outgoing, incoming):
        require_signed(certificate, Purpose.HANDOVER, digest)
    return replace(installed, current=incoming.header, previous_hash=installed.current.hash())


def _is_known(header: bytes, installed: InstalledSets) -> bool:
    """Before anything that time can change: what is there already is no error, whenever it comes."""
    epoch, current = int.from_bytes(header[:_EPOCH_BYTES], "big"), installed.current
    if epoch > current.epoch:
        return False
    kept = {current.epoch: current.hash(), current.epoch - 1: installed.previous_hash}
    known = kept.get(Epoch(epoch))
    if known is not None and known != keccak256(header):
        raise Refused(
            Reason.HANDOVER_CONFLICT,
            f"epoch {epoch} has header {known.hex()} there, came {keccak256(header).hex()}",
        )
    return True


def _require_in_time(header: Header, now: Seconds) -> None:
    if header.capture_time > now:
        raise Refused(
            Reason.SET_FROM_FUTURE, f"a set must be captured by {now}, came {header.capture_time}; wait"
        )
    if header.valid_until <= now:
        raise Refused(Reason.SET_EXPIRED, f"the new set was valid until {header.valid_until}, now is {now}")


def _require_successor(incoming: Header, outgoing: Header, *, installed: InstalledSets, now: Seconds) -> None:
    current = installed.current
    _require_next(current.epoch, incoming.epoch)
    if outgoing.hash() != current.hash():
        raise Refused(
            Reason.HEADER_MISMATCH,
            f"the chain is at epoch {current.epoch} with header {current.hash().hex()}, "
            f"came the signatures of epoch {outgoing.epoch} with {outgoing.hash().hex()}",
        )
    if now > current.valid_until:
        raise Refused(
            Reason.SET_EXPIRED,
            f"the current set was valid until {current.valid_until}, now is {now}; the chain needs a reset",
        )
    _require_previous(current.hash(), incoming.prev_header_hash)
    not_before = current.capture_time + installed.min_epoch_interval
    if incoming.capture_time < not_before:
        raise Refused(
            Reason.CAPTURED_TOO_EARLY,
            f"the next set may be captured from {not_before}, came {incoming.capture_time}",
        )


def _require_next(current: Epoch, incoming: Epoch) -> None:
    if incoming != current + 1:
        raise Refused(
            Reason.EPOCH_NOT_NEXT,
            f"after epoch {current} comes {current + 1}, came {incoming}; send all between",
        )


def _require_previous(expected: HeaderHash, given: HeaderHash) -> None:
    if given != expected:
        raise Refused(
            Reason.PREVIOUS_MISMATCH, f"the next set must name header {expected.hex()}, names {given.hex()}"
        )


def _require_quorum(certificate: CertificateProof) -> None:
    signed, total = measure(certificate)
    if not meets(signed, total, *QUORUM):
        raise Refused(
            Reason.THRESHOLD_NOT_MET,
            f"epoch {certificate.header.epoch} must sign with more than two thirds of {total}, has {signed}",
        )

"""The list of decoders that strangers reach: what each may raise, what it gives back, bytes to begin from.

The seeds are made by our own encoders, so that a fuzzer begins inside the format and not before its first
byte. `test_decoders.py` fails where a decoder stands in the code and not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from consensus import (
    alert_codec,
    attestation,
    certificate,
    ecdsa,
    operators,
    partial,
    pending_evidence,
    reconciliation,
    retraction,
    succession,
)
from consensus.bls import PublicKey, Purpose, Signature
from consensus.errors import Refused
from consensus.handover import compute_handover
from consensus.types import BlockHash, BlockNumber, ChainId, OperatorIndex, Seconds
from node.chain import body, parse
from node.chain.request import Unusable
from node.chain.types import BlockRef
from node.detect.policy import parse_detection_policy
from node.evaluate.policy import parse_policy
from node.gossip import addresses, frames
from node.observe import call_trees, mempool, step_logs
from node.observe.execution import Call
from node.observe.history import RECORDING_FORMAT, parse_block, parse_recording
from node.observe.usable import read_usable
from node.trace import Account, CallKind
from tests.consensus.factories import (
    NETWORK_ID,
    make_alert,
    make_attestation,
    make_operator_set,
    make_signature,
    make_slot,
    make_successor,
)

POLICIES = Path(__file__).resolve().parents[2] / "docs" / "policies"
WORD, ACCOUNT = "0x" + "11" * 32, "0x" + "22" * 20
AT = BlockRef(
    chain_id=ChainId(1),
    number=BlockNumber(17),
    hash=BlockHash(b"\x11" * 32),
    parent_hash=BlockHash(b"\x11" * 32),
    timestamp=Seconds(17),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """One decoder. `covers` are the functions that it reaches, by module and name.

    `encode` gives canonical bytes back, where the format has only one form for a value. `refusals` is all
    that it may raise.
    """

    name: str
    covers: tuple[str, ...]
    decode: Callable[[bytes], Any]
    seeds: tuple[bytes, ...]
    encode: Callable[[Any], bytes] | None = None
    refusals: tuple[type[Exception], ...] = (Refused,)
    is_json: bool = False


def _consensus() -> Iterable[Decoder]:
    alert, signed = make_alert(), make_attestation()
    group = make_operator_set((5, 4, 3))
    signatures = {OperatorIndex(i): make_attestation(make_alert(group), i).signature for i in range(2)}
    built = certificate.build_certificate(make_alert(group), group, signatures)
    header = operators.parse_header(group.header())
    yield Decoder(
        name="attestation",
        covers=("consensus.attestation.decode",),
        decode=attestation.decode,
        encode=attestation.encode,
        seeds=(attestation.encode(signed),),
    )
    yield Decoder(
        name="alert",
        covers=("consensus.alert_codec.decode_alert",),
        decode=alert_codec.decode_alert,
        encode=alert_codec.encode_alert,
        seeds=(alert_codec.encode_alert(alert),),
    )
    both = partial.merge([make_attestation(alert, i) for i in (0, 2)])
    yield Decoder(
        name="partial certificate",
        covers=("consensus.partial.decode_partial",),
        decode=partial.decode_partial,
        encode=partial.encode_partial,
        seeds=(partial.encode_partial(both),),
    )
    yield Decoder(
        name="certificate",
        covers=("consensus.certificate.decode_certificate",),
        decode=certificate.decode_certificate,
        encode=certificate.CertificateProof.to_bytes,
        seeds=tuple(certificate.encode_certificate_as(built, mode) for mode in certificate.EntryMode),
    )
    yield Decoder(
        name="header",
        covers=("consensus.operators.parse_header",),
        decode=operators.parse_header,
        encode=operators.Header.to_bytes,
        seeds=(group.header(),),
    )
    leaf = group.operators[1].leaf_entry()
    yield Decoder(
        name="leaf",
        covers=("consensus.operators.parse_leaf",),
        decode=operators.parse_leaf,
        encode=operators.Leaf.to_bytes,
        seeds=(leaf.to_bytes(),),
    )
    leaves = b"".join(each.leaf_entry().to_bytes() for each in group.operators)
    members = [each.address for each in group.operators]
    yield Decoder(
        name="leaves of a registry's event",
        covers=("consensus.operators.OperatorSet.from_chain",),
        decode=lambda data: operators.OperatorSet.from_chain(
            group.header(), data, addresses=members, peer_ids=[""] * 3
        ),
        seeds=(leaves,),
    )
    yield Decoder(
        name="public key",
        covers=("consensus.bls.PublicKey",),
        decode=PublicKey,
        encode=PublicKey.to_bytes,
        seeds=(group.operators[0].public_key.to_bytes(),),
    )
    yield Decoder(
        name="signature",
        covers=("consensus.bls.Signature",),
        decode=Signature,
        encode=Signature.to_bytes,
        seeds=(signed.signature.to_bytes(),),
    )
    yield Decoder(
        name="signature in calldata",
        covers=("consensus.bls.Signature.from_xy_bytes",),
        decode=Signature.from_xy_bytes,
        encode=Signature.to_xy_bytes,
        seeds=(signed.signature.to_xy_bytes(),),
    )
    vote = succession.HandoverVote(
        handover=compute_handover(NETWORK_ID, group, make_successor(group)),
        side=succession.Side.OUTGOING,
        operator_index=OperatorIndex(1),
        signature=make_signature(1, alert.digest(), Purpose.HANDOVER),
    )
    yield Decoder(
        name="handover vote",
        covers=("consensus.succession.decode_vote",),
        decode=succession.decode_vote,
        encode=succession.encode_vote,
        seeds=(succession.encode_vote(vote),),
    )
    entries = tuple(ecdsa.EcdsaEntry(signer=each.address, weight=each.weight) for each in group.operators)
    keyless = ecdsa.EcdsaSet(header=header, entries=entries)
    yield Decoder(
        name="ECDSA set",
        covers=("consensus.ecdsa.parse_ecdsa_set",),
        decode=ecdsa.parse_ecdsa_set,
        encode=ecdsa.EcdsaSet.to_bytes,
        seeds=(keyless.to_bytes(),),
    )
    by_ecdsa = ecdsa.EcdsaSignature(r=7, s=9, parity=1)
    yield Decoder(
        name="ECDSA signature",
        covers=("consensus.ecdsa.EcdsaSignature.from_bytes",),
        decode=ecdsa.EcdsaSignature.from_bytes,
        encode=ecdsa.EcdsaSignature.to_bytes,
        seeds=(by_ecdsa.to_bytes(),),
    )
    chosen = ecdsa.EcdsaCertificate(operators=keyless, signatures=((OperatorIndex(1), by_ecdsa),))
    yield Decoder(
        name="ECDSA certificate",
        covers=("consensus.ecdsa.decode_ecdsa_certificate",),
        decode=ecdsa.decode_ecdsa_certificate,
        encode=ecdsa.EcdsaCertificate.to_bytes,
        seeds=(chosen.to_bytes(),),
    )
    held = [reconciliation.Entry(digest=alert.digest(), signers=both.signers)]
    for name, value in {
        "summary": reconciliation.compute_summary(held, 2),
        "inventory": reconciliation.Inventory(bits=0, bucket=0, entries=tuple(held)),
        "want": reconciliation.Want(entries=tuple(held)),
        "signatures": reconciliation.compute_answers([signed])[0],
    }.items():
        encode = getattr(reconciliation, f"encode_{name}")
        yield Decoder(
            name=name,
            covers=(f"consensus.reconciliation.decode_{name}",),
            decode=getattr(reconciliation, f"decode_{name}"),
            encode=encode,
            seeds=(encode(value),),
        )


def _gossip() -> Iterable[Decoder]:
    gone = retraction.retract(NETWORK_ID, make_slot())
    yield Decoder(
        name="retraction",
        covers=("consensus.retraction.decode_retraction",),
        decode=retraction.decode_retraction,
        encode=retraction.encode_retraction,
        seeds=(retraction.encode_retraction(gone),),
    )
    yield Decoder(
        name="pending evidence",
        covers=("consensus.pending_evidence.decode_pending_evidence",),
        decode=pending_evidence.decode_pending_evidence,
        encode=pending_evidence.encode_pending_evidence,
        seeds=tuple(
            pending_evidence.encode_pending_evidence(each)
            for each in (pending_evidence.Wanted(b"\x11" * 32), pending_evidence.Given(b"\x02\xc0"))
        ),
    )
    told = addresses.announce(
        addresses.Identity(b"\x07" * 32), NETWORK_ID, sequence=3, addresses=("/ip4/127.0.0.1/tcp/4001",)
    )
    yield Decoder(
        name="announcement of addresses",
        covers=("node.gossip.addresses.decode_announcement",),
        decode=addresses.decode_announcement,
        encode=addresses.encode_announcement,
        seeds=(addresses.encode_announcement(told),),
    )
    body_of_one = frames.encode_attestation(make_attestation())
    yield Decoder(
        name="frame",
        covers=("node.gossip.frames.parse_frame",),
        decode=frames.parse_frame,
        seeds=(
            frames.encode_frame(frames.Kind.ATTESTATION, body_of_one),
            attestation.encode(make_attestation()),  # version 1
        ),
    )
    yield Decoder(
        name="attestation in a frame",
        covers=("node.gossip.frames.decode_attestation",),
        decode=frames.decode_attestation,
        encode=frames.encode_attestation,
        seeds=(body_of_one,),
    )


def _policies() -> Iterable[Decoder]:
    yield Decoder(
        name="rule policy",
        covers=("node.evaluate.policy.parse_policy",),
        decode=parse_policy,
        seeds=tuple(path.read_bytes() for path in sorted((POLICIES / "cookbook").glob("*.yaml"))[:2]),
    )
    yield Decoder(
        name="detection policy",
        covers=("node.detect.policy.parse_detection_policy",),
        decode=parse_detection_policy,
        seeds=((POLICIES / "general.yaml").read_bytes(),),
    )


def _answer(name: str, covers: str, read: Callable[[Any], Any], *seeds: Any) -> Decoder:
    """A decoder of the `result` in an endpoint's answer, whose JSON the endpoint's client has read."""

    def decode(data: bytes) -> Any:
        return read(msgspec.json.decode(data))

    return Decoder(
        name=name,
        covers=(covers,),
        decode=decode,
        seeds=tuple(msgspec.json.encode(seed) for seed in seeds),
        refusals=(Unusable, Refused, msgspec.DecodeError, UnicodeDecodeError, RecursionError),
        is_json=True,
    )


def _answers() -> Iterable[Decoder]:
    header = {"number": "0x11", "hash": WORD, "parentHash": WORD, "timestamp": "0x11"}
    log = {
        "address": ACCOUNT,
        "topics": [WORD],
        "data": "0x1234",
        "logIndex": "0x0",
        "transactionHash": WORD,
        "blockNumber": "0x11",
        "blockHash": WORD,
    }
    sent = {
        "hash": WORD,
        "transactionIndex": "0x0",
        "from": ACCOUNT,
        "to": None,
        "value": "0x0",
        "nonce": "0x0",
        "gas": "0x5208",
        "input": "0x",
    }
    receipt = {
        "transactionHash": WORD,
        "blockHash": WORD,
        "blockNumber": "0x11",
        "status": "0x1",
        "gasUsed": "0x1",
    }
    full = {
        **header,
        "miner": ACCOUNT,
        "gasLimit": "0x1",
        "gasUsed": "0x0",
        "baseFeePerGas": "0x7",
        "transactions": [sent],
    }
    yield _answer("quantity", "node.chain.parse.parse_quantity", parse.parse_quantity, "0x11")
    yield _answer("word", "node.chain.parse.parse_word", parse.parse_word, WORD)
    yield _answer("bytes", "node.chain.parse.parse_bytes", parse.parse_bytes, "0x1234")
    yield _answer("call", "node.chain.parse.parse_call", parse.parse_call, "0x1234")
    fees = {"baseFeePerGas": ["0x1", "0x2"], "reward": [["0x3"]]}
    yield _answer("fees", "node.chain.parse.parse_fee_history", parse.parse_fee_history, fees)
    yield _answer("block", "node.chain.parse.block_parser", parse.block_parser(ChainId(1)), header, None)
    yield _answer("receipt", "node.chain.parse.receipt_parser", parse.receipt_parser(b"\x11" * 32), receipt)
    yield _answer("logs of a block", "node.chain.parse.logs_parser", parse.logs_parser(AT), [log])
    yield _answer("logs", "node.chain.parse.parse_log_list", parse.parse_log_list, [log, log])
    yield _answer("block with transactions", "node.chain.body.body_parser", body.body_parser(AT), full)
    yield _answer("pending transaction", "node.observe.mempool.parse_pending", mempool.parse_pending, sent)
    yield from _traces()


def _traces() -> Iterable[Decoder]:
    """What nodes answer about executions; read as the node reads them, through `read_usable`."""
    call = {"type": "CALL", "from": ACCOUNT, "to": ACCOUNT, "input": "0x12345678", "value": "0x1"}
    row = {"result": {**call, "calls": [{**call, "type": "STATICCALL"}]}, "txHash": WORD}
    program = {"result": {"calls": [[0, "CALL", ACCOUNT, ACCOUNT, "0x1", "0x12345678", 0]]}, "txHash": WORD}
    parity = {
        "type": "call",
        "action": {"from": ACCOUNT, "to": ACCOUNT, "callType": "call", "input": "0x12345678", "value": "0x1"},
        "traceAddress": [],
        "blockHash": WORD,
        "transactionHash": WORD,
        "result": {},
    }
    root = Call(
        kind=CallKind.CALL,
        sender=Account(ACCOUNT),
        to=Account(ACCOUNT),
        selector="0x12345678",
        value_wei=1,
        has_failed=False,
    )
    steps = {"steps": [[1, "load", "0x1", "0x2"], [1, "store", "0x1", "0x2"], [1, "create"], [2, "enter"]]}
    logs = {
        "structLogs": [
            {"op": "SLOAD", "depth": 1, "stack": ["0x1"]},
            {"op": "STOP", "depth": 1, "stack": ["0x2"]},
        ]
    }
    replayed = {"vmTrace": {"code": "0x5400", "ops": [{"pc": 0, "ex": {"push": ["0x1"]}}, {"pc": 1}]}}
    at, tree = "node.observe.step_logs", "node.observe.call_trees"

    def of(name: str, covers: str, read: Callable[[Any], Any], *seeds: Any) -> Decoder:
        return _answer(name, covers, lambda answer: read_usable(lambda: read(answer)), *seeds)

    known = [WORD]
    yield of(
        "call tracer",
        f"{tree}.parse_call_tracer",
        lambda answer: call_trees.parse_call_tracer(answer, known),
        [row],
    )
    yield of(
        "traced call", f"{tree}.parse_called", lambda answer: call_trees.parse_called(answer, WORD), call
    )
    yield of(
        "call program",
        f"{tree}.parse_call_program",
        lambda answer: call_trees.parse_call_program(answer, known),
        [program],
    )
    yield of(
        "parity's traces",
        f"{tree}.parse_trace_block",
        lambda answer: call_trees.parse_trace_block(answer, known, WORD),
        [parity],
    )
    yield of("hash", f"{tree}.parse_hash", call_trees.parse_hash, WORD)
    yield of("account", f"{tree}.parse_account", call_trees.parse_account, ACCOUNT)
    yield of("step program", f"{at}.parse_program", step_logs.parse_program, steps)
    yield of("struct logs", f"{at}.parse_struct_logs", step_logs.parse_struct_logs, logs)
    yield of(
        "vm trace", f"{at}.parse_vm_trace", lambda answer: step_logs.parse_vm_trace(answer, root), replayed
    )


def _recordings() -> Iterable[Decoder]:
    recording = {
        "format": RECORDING_FORMAT,
        "chain_id": 1,
        "contracts": [ACCOUNT],
        "first": 1,
        "last": 2,
        "last_hash": WORD,
    }
    yield Decoder(
        name="recording",
        covers=("node.observe.history.parse_recording",),
        decode=lambda data: parse_recording(data, place="here"),
        seeds=(msgspec.json.encode(recording),),
        is_json=True,
    )
    yield Decoder(
        name="recorded block",
        covers=("node.observe.history.parse_block",),
        decode=lambda data: tuple(parse_block(data, BlockNumber(1), place="here")),
        seeds=(msgspec.json.encode({}),),
        is_json=True,
    )


DECODERS: tuple[Decoder, ...] = (*_consensus(), *_gossip(), *_policies(), *_answers(), *_recordings())

OURS: dict[str, str] = {
    "consensus.bls.SecretKey.from_bytes": "an operator's own keystore, opened by its password",
}
"""What has the name of a decoder, and is none that a stranger reaches."""

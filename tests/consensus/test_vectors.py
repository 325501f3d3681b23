"""The shared vectors: as generated, and equal to what independent implementations say."""

import hashlib
import json
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from py_ecc.bls.hash_to_curve import hash_to_G1
from py_ecc.optimized_bls12_381 import G2, curve_order, multiply, normalize

from consensus.bls import PublicKey, Purpose, Signature, hash_to_curve, verify
from consensus.certificate import decode_certificate, verify_certificate
from consensus.errors import Refused
from consensus.handover import HandoverProof, InstalledSets, verify_handover
from consensus.operators import OperatorSet, parse_header
from consensus.types import Bps, Digest, Epoch, HeaderHash, NetworkId, Seconds
from tests.vectors import rfc9380
from tests.vectors.generate import DIRECTORY, build, render


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DIRECTORY / name).read_text())
    return document


def cases_of(name: str) -> list[Any]:
    return [
        pytest.param(case, id=case.get("name", str(place))) for place, case in enumerate(load(name)["cases"])
    ]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_files_are_those_that_this_build_generates() -> None:
    generated = {name: render(document) for name, document in build().items()}

    written = {name: (DIRECTORY / name).read_text() for name in generated}

    assert written == generated


@pytest.mark.parametrize(("message", "x", "y"), rfc9380.CASES)
def test_hash_to_curve_equals_the_rfc_in_both_libraries(message: bytes, x: str, y: str) -> None:
    ours = hash_to_curve(message, rfc9380.TAG)
    theirs = normalize(hash_to_G1(message, rfc9380.TAG, hashlib.sha256))

    assert ours.hex() == x + y
    assert [coordinate.n for coordinate in theirs] == [int(x, 16), int(y, 16)]


@pytest.mark.parametrize("case", cases_of("hash_to_curve_tags.json"))
def test_each_purpose_hashes_under_its_own_tag(case: dict[str, Any]) -> None:
    point = normalize(hash_to_G1(unhex(case["message"]), case["tag"].encode(), hashlib.sha256))

    assert case["tag"] == f"TOCSIN-{case['purpose']}-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
    assert [coordinate.n for coordinate in point] == [int(case["x"], 16), int(case["y"], 16)]


def test_the_network_id_follows_the_design_by_hand() -> None:
    document = load("alert.json")

    network_id = keccak(
        abi_encode(["string", "uint256", "address"], ["tocsin.network.v1", 31_337, document["registry"]])
    )

    assert unhex(document["networkId"]) == network_id


@pytest.mark.parametrize("case", cases_of("alert.json"))
def test_alert_digests_follow_the_design_by_hand(case: dict[str, Any]) -> None:
    slot_typehash = keccak(
        b"TocsinSlot(bytes32 policyHash,bytes32 ruleId,uint256 sourceChainId,uint256 anchorNumber,"
        b"bytes32 anchorHash,bytes32 subject)"
    )
    slot_id = keccak(
        slot_typehash
        + unhex(case["policyHash"])
        + unhex(case["ruleId"])
        + word(case["sourceChainId"])
        + word(case["anchorNumber"])
        + unhex(case["anchorHash"])
        + unhex(case["subject"])
    )
    action_typehash = keccak(
        b"TocsinAction(uint256 chainId,address guardian,bytes32 actionId,bytes32 paramsHash)"
    )
    leaves = [
        keccak(
            action_typehash
            + word(chain_id)
            + bytes(12)
            + unhex(guardian)
            + unhex(action_id)
            + keccak(unhex(params))
        )
        for chain_id, guardian, action_id, params in zip(
            case["actionChainIds"],
            case["actionGuardians"],
            case["actionIds"],
            case["actionParams"],
            strict=True,
        )
    ]
    alert_typehash = keccak(
        b"TocsinAlert(bytes32 networkId,uint32 epoch,bytes32 headerHash,bytes32 slotId,uint8 verdict,"
        b"uint64 observedAt,uint64 expiresAt,bytes32 evidenceHash,bytes32 causeDigest,uint8 causeDepth,"
        b"bytes32 actionsHash)"
    )
    digest = keccak(
        alert_typehash
        + unhex(case["networkId"])
        + word(case["epoch"])
        + unhex(case["headerHash"])
        + slot_id
        + word(case["verdict"])
        + word(case["observedAt"])
        + word(case["expiresAt"])
        + unhex(case["evidenceHash"])
        + unhex(case["causeDigest"])
        + word(case["causeDepth"])
        + keccak(b"".join(leaves))
    )

    assert unhex(case["slotId"]) == slot_id
    assert [unhex(leaf) for leaf in case["actionLeaves"]] == leaves
    assert unhex(case["digest"]) == digest


@pytest.mark.parametrize("case", cases_of("operators.json"))
def test_headers_are_laid_out_as_the_design_says(case: dict[str, Any]) -> None:
    leaves = [
        keccak(index.to_bytes(2, "big") + int(weight).to_bytes(12, "big") + unhex(key))
        for index, (weight, key) in enumerate(zip(case["weights"], case["publicKeys"], strict=True))
    ]
    header = (
        case["epoch"].to_bytes(4, "big")
        + len(leaves).to_bytes(2, "big")
        + sum(int(weight) for weight in case["weights"]).to_bytes(16, "big")
        + int(case["captureBlock"]).to_bytes(8, "big")
        + int(case["captureTime"]).to_bytes(8, "big")
        + int(case["validUntil"]).to_bytes(8, "big")
        + unhex(case["prevHeaderHash"])
        + keccak(b"".join(leaves))
        + unhex(case["apk"])
    )

    assert unhex(case["header"]) == header
    assert unhex(case["headerHash"]) == keccak(header)


@pytest.mark.parametrize("case", cases_of("operators.json"))
def test_sets_are_rebuilt_from_what_the_registry_emits(case: dict[str, Any]) -> None:
    peer_ids = [f"peer-{index}" for index in range(case["operatorCount"])]

    rebuilt = OperatorSet.from_chain(
        unhex(case["header"]), unhex(case["leafPreimages"]), addresses=case["addresses"], peer_ids=peer_ids
    )

    assert rebuilt.header_hash() == unhex(case["headerHash"])
    assert str(rebuilt.total_weight) == case["totalWeight"]


def test_aggregate_key_and_signature_equal_those_of_py_ecc() -> None:
    case = load("certificates.json")["cases"][0]  # all seven signed
    secrets = [int(key, 16) for key in load("operators.json")["cases"][0]["secretKeys"]]
    message = hash_to_G1(unhex(case["digest"]), Purpose.ALERT.value, hashlib.sha256)

    key_x, key_y = normalize(multiply(G2, sum(secrets) % curve_order))
    sigma_x, sigma_y = normalize(multiply(message, sum(secrets) % curve_order))

    coordinates = (*key_x.coeffs, *key_y.coeffs, sigma_x.n, sigma_y.n)
    expected = b"".join(int(each).to_bytes(48, "big") for each in coordinates)
    assert unhex(case["certificate"])[110:398] == expected


@pytest.mark.parametrize("case", cases_of("possession.json"))
def test_possession_proofs_bind_operator_and_key(case: dict[str, Any]) -> None:
    typehash = keccak(
        b"TocsinPossession(bytes32 networkId,uint256 chainId,address registry,address operator,"
        b"bytes32 publicKeyHash)"
    )
    digest = keccak(
        typehash
        + unhex(case["networkId"])
        + word(case["chainId"])
        + bytes(12)
        + unhex(case["registry"])
        + bytes(12)
        + unhex(case["operator"])
        + keccak(unhex(case["publicKey"]))
    )

    assert is_possession_proven(case, Digest(digest)) == case["valid"]
    assert not case["valid"] or unhex(case["digest"]) == digest


@pytest.mark.parametrize("case", [case for case in cases_of("certificates.json") if case.values[0]["valid"]])
def test_good_certificates_prove_their_weight(case: dict[str, Any]) -> None:
    signed, total = verify_case(case)

    assert (str(signed), str(total)) == (case["signedWeight"], case["totalWeight"])
    assert decode_certificate(unhex(case["certificate"])).to_bytes() == unhex(case["certificate"])


@pytest.mark.parametrize(
    "case", [case for case in cases_of("certificates.json") if not case.values[0]["valid"]]
)
def test_bad_certificates_are_refused_for_their_reason(case: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        verify_case(case)

    assert refused.value.reason == case["reason"]


@pytest.mark.parametrize("case", load("handovers.json")["digests"])
def test_handover_digests_follow_the_design_by_hand(case: dict[str, Any]) -> None:
    typehash = keccak(b"TocsinHandover(bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash)")

    digest = keccak(
        typehash
        + unhex(case["networkId"])
        + word(case["epoch"])
        + unhex(case["setHash"])
        + unhex(case["nextSetHash"])
    )

    assert unhex(load("handovers.json")["handoverTypehash"]) == typehash
    assert unhex(case["digest"]) == digest


@pytest.mark.parametrize("case", [case for case in cases_of("handovers.json") if case.values[0]["valid"]])
def test_good_handovers_install_the_next_set_or_are_there_already(case: dict[str, Any]) -> None:
    after = verify_handover_case(case)

    expected = unhex(case["nextSetHash"]) if case["installs"] else keccak(unhex(case["currentHeader"]))
    assert after.current.hash() == expected


@pytest.mark.parametrize("case", [case for case in cases_of("handovers.json") if not case.values[0]["valid"]])
def test_bad_handovers_are_refused_for_their_reason(case: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        verify_handover_case(case)

    assert refused.value.reason == case["reason"]


def test_both_signatures_of_a_handover_equal_those_of_py_ecc() -> None:
    case = load("handovers.json")["cases"][0]  # all of both signed
    message = hash_to_G1(unhex(case["digest"]), Purpose.HANDOVER.value, hashlib.sha256)

    for name, first_key in (("outgoing", 4_000), ("incoming", 5_000)):
        seeds = [hashlib.sha256((first_key + place).to_bytes(4, "big")).digest() for place in range(6)]
        secret = sum(1 + int.from_bytes(seed, "big") % (curve_order - 1) for seed in seeds) % curve_order
        key_x, key_y = normalize(multiply(G2, secret))
        sigma_x, sigma_y = normalize(multiply(message, secret))

        coordinates = (*key_x.coeffs, *key_y.coeffs, sigma_x.n, sigma_y.n)
        expected = b"".join(int(each).to_bytes(48, "big") for each in coordinates)
        assert unhex(case[name])[110:398] == expected


def verify_handover_case(case: dict[str, Any]) -> InstalledSets:
    document = load("handovers.json")
    installed = InstalledSets(
        network_id=NetworkId(unhex(document["networkId"])),
        min_epoch_interval=Seconds(document["minEpochInterval"]),
        current=parse_header(unhex(case["currentHeader"])),
    )
    proof = HandoverProof(outgoing=unhex(case["outgoing"]), incoming=unhex(case["incoming"]))
    return verify_handover(proof, installed=installed, now=Seconds(int(case["now"])))


def verify_case(case: dict[str, Any]) -> tuple[int, int]:
    return verify_certificate(
        unhex(case["certificate"]),
        digest=Digest(unhex(case["digest"])),
        epoch=Epoch(case["epoch"]),
        header_hash=HeaderHash(unhex(case["headerHash"])),
        threshold_bps=Bps(case["thresholdBps"]),
    )


def is_possession_proven(case: dict[str, Any], digest: Digest) -> bool:
    try:
        signature = Signature.from_xy_bytes(unhex(case["signature"]))
    except Refused:
        return False
    return verify(PublicKey(unhex(case["publicKey"])), Purpose.POSSESSION, digest, signature)


def word(number: int | str) -> bytes:
    return int(number).to_bytes(32, "big")

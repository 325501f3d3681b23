// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381, G1Point} from "../../src/libraries/Bls12381.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {SuccessionTerms} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Signer} from "../support/Signer.sol";

/// @notice The twin in Python and this one say the same, byte for byte: `tests/vectors/README.md`.
contract VectorsTest is Test {
    string private json;
    string private at;

    function load(string memory name) private {
        json = vm.readFile(string.concat("../tests/vectors/", name));
    }

    function select(uint256 index) private {
        at = string.concat(".cases[", vm.toString(index), "].");
    }

    function cases() private view returns (uint256) {
        return vm.parseJsonUint(json, ".count");
    }

    function number(string memory key) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(at, key));
    }

    function word(string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(at, key));
    }

    function data(string memory key) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat(at, key));
    }

    function text(string memory key) private view returns (string memory) {
        return vm.parseJsonString(json, string.concat(at, key));
    }

    function account(string memory key) private view returns (address) {
        return vm.parseJsonAddress(json, string.concat(at, key));
    }

    function truth(string memory key) private view returns (bool) {
        return vm.parseJsonBool(json, string.concat(at, key));
    }

    // ---- alerts

    function test_AlertDigests() public {
        load("alert.json");
        assertEq(
            AlertLib.networkId(
                vm.parseJsonUint(json, ".homeChainId"), vm.parseJsonAddress(json, ".registry")
            ),
            vm.parseJsonBytes32(json, ".networkId")
        );
        assertEq(AlertLib.ACTION_TYPEHASH, vm.parseJsonBytes32(json, ".actionTypehash"));
        assertEq(AlertLib.SLOT_TYPEHASH, vm.parseJsonBytes32(json, ".slotTypehash"));
        assertEq(AlertLib.ALERT_TYPEHASH, vm.parseJsonBytes32(json, ".alertTypehash"));
        assertEq(AlertLib.POSSESSION_TYPEHASH, vm.parseJsonBytes32(json, ".possessionTypehash"));
        assertGt(cases(), 0);
        for (uint256 i = 0; i < cases(); ++i) {
            select(i);
            checkLeaves();
            this.checkAlert(readAlert(), vm.parseJsonBytes32Array(json, string.concat(at, "actionLeaves")));
        }
    }

    function checkLeaves() private view {
        uint256[] memory chainIds = vm.parseJsonUintArray(json, string.concat(at, "actionChainIds"));
        address[] memory guardians = vm.parseJsonAddressArray(json, string.concat(at, "actionGuardians"));
        bytes32[] memory ids = vm.parseJsonBytes32Array(json, string.concat(at, "actionIds"));
        bytes[] memory params = vm.parseJsonBytesArray(json, string.concat(at, "actionParams"));
        bytes32[] memory leaves = vm.parseJsonBytes32Array(json, string.concat(at, "actionLeaves"));
        for (uint256 i = 0; i < leaves.length; ++i) {
            assertEq(AlertLib.actionLeaf(chainIds[i], guardians[i], ids[i], keccak256(params[i])), leaves[i]);
        }
    }

    function readAlert() private view returns (Alert memory alert) {
        alert.epoch = uint32(number("epoch"));
        alert.headerHash = word("headerHash");
        alert.policyHash = word("policyHash");
        alert.ruleId = word("ruleId");
        alert.sourceChainId = number("sourceChainId");
        alert.anchorNumber = number("anchorNumber");
        alert.anchorHash = word("anchorHash");
        alert.subject = word("subject");
        alert.verdict = uint8(number("verdict"));
        alert.observedAt = uint64(number("observedAt"));
        alert.expiresAt = uint64(number("expiresAt"));
        alert.evidenceHash = word("evidenceHash");
        alert.causeDigest = word("causeDigest");
        alert.causeDepth = uint8(number("causeDepth"));
    }

    function checkAlert(Alert calldata alert, bytes32[] calldata leaves) external view {
        bytes32 actionsHash = AlertLib.actionsHash(leaves);
        bytes32 slot = AlertLib.slotId(alert);
        assertEq(actionsHash, word("actionsHash"), text("name"));
        assertEq(actionsHash, keccak256(abi.encodePacked(leaves)), "assembly against plain Solidity");
        assertEq(slot, word("slotId"), text("name"));
        assertEq(AlertLib.digest(word("networkId"), alert, slot, actionsHash), word("digest"), text("name"));
    }

    // ---- hash to the curve

    function checkHash(bytes memory message, bytes memory tag) private view {
        G1Point memory point = Bls12381.hashToG1(message, tag, 1_000_000);
        assertEq(Signer.rawG1(point), bytes.concat(data("x"), data("y")));
    }

    function test_HashToCurveOfRfc9380() public {
        load("hash_to_curve_rfc9380.json");
        bytes memory tag = bytes(vm.parseJsonString(json, ".tag"));
        assertEq(cases(), 5);
        for (uint256 i = 0; i < cases(); ++i) {
            select(i);
            checkHash(data("message"), tag);
        }
    }

    function test_HashToCurveUnderOurTags() public {
        load("hash_to_curve_tags.json");
        assertGt(cases(), 0);
        for (uint256 i = 0; i < cases(); ++i) {
            select(i);
            checkHash(data("digest"), bytes(text("tag")));
            if (keccak256(bytes(text("purpose"))) == keccak256("ALERT")) {
                assertEq(text("tag"), string(AlertLib.ALERT_DST));
            }
            if (keccak256(bytes(text("purpose"))) == keccak256("POSSESSION")) {
                assertEq(text("tag"), string(AlertLib.POSSESSION_DST));
            }
        }
    }

    function hashWithTag(bytes memory tag) external view {
        Bls12381.hashToG1("message", tag, 1_000_000);
    }

    function test_RevertIf_TagIsLongerThan255Bytes() public {
        this.hashWithTag(new bytes(255));
        vm.expectRevert(abi.encodeWithSelector(Bls12381.TagTooLong.selector, 256));
        this.hashWithTag(new bytes(256));
    }

    // ---- possession

    function test_Possession() public {
        load("possession.json");
        assertGt(cases(), 0);
        for (uint256 i = 0; i < cases(); ++i) {
            select(i);
            bytes memory key = data("publicKey");
            bytes32 digest = AlertLib.possessionDigest(
                word("networkId"), number("chainId"), account("registry"), account("operator"), keccak256(key)
            );
            if (truth("valid")) assertEq(digest, word("digest"), text("name"));
            assertEq(this.isPossession(digest, data("signature"), key), truth("valid"), text("name"));
        }
    }

    function isPossession(bytes32 digest, bytes calldata signature, bytes calldata key)
        external
        view
        returns (bool)
    {
        return Bls12381.isSignatureBy(
            Bls12381.readG1(signature, 0),
            Bls12381.hashToG1(abi.encodePacked(digest), AlertLib.POSSESSION_DST, 1_000_000),
            Bls12381.readG2(key, 0),
            1_000_000
        );
    }

    // ---- operator sets

    function test_HeadersAndLeaves() public {
        load("operators.json");
        assertGt(cases(), 0);
        for (uint256 i = 0; i < cases(); ++i) {
            select(i);
            checkSetLeaves();
            bytes memory header = HeaderLib.encode(
                HeaderLib.Header({
                    epoch: uint32(number("epoch")),
                    count: uint16(number("operatorCount")),
                    totalWeight: uint128(number("totalWeight")),
                    captureBlock: uint64(number("captureBlock")),
                    captureTime: uint64(number("captureTime")),
                    validUntil: uint64(number("validUntil")),
                    prevHeaderHash: word("prevHeaderHash"),
                    leavesHash: word("leavesHash"),
                    apk: data("apk")
                })
            );
            assertEq(header, data("header"), text("name"));
            assertEq(keccak256(header), word("headerHash"), text("name"));
        }
    }

    function checkSetLeaves() private view {
        uint256[] memory weights = vm.parseJsonUintArray(json, string.concat(at, "weights"));
        bytes[] memory keys = vm.parseJsonBytesArray(json, string.concat(at, "publicKeys"));
        bytes32[] memory leaves = vm.parseJsonBytes32Array(json, string.concat(at, "leaves"));
        bytes memory preimages = "";
        for (uint256 i = 0; i < leaves.length; ++i) {
            bytes memory preimage = HeaderLib.encodeLeaf(uint16(i), uint96(weights[i]), keys[i]);
            assertEq(keccak256(preimage), leaves[i]);
            preimages = bytes.concat(preimages, preimage);
        }
        assertEq(preimages, data("leafPreimages"));
        assertEq(keccak256(abi.encodePacked(leaves)), word("leavesHash"));
    }

    // ---- certificates

    function test_CertificatesPassOrAreRefusedAsInPython() public {
        load("certificates.json");
        assertGt(cases(), 0);
        for (uint256 i = 0; i < cases(); ++i) {
            select(i);
            checkCertificate();
        }
    }

    function checkCertificate() private {
        bytes memory header = data("header");
        uint64 captureTime;
        assembly {
            captureTime := shr(192, mload(add(add(header, 32), 30)))
        }
        vm.warp(captureTime + 1);
        QuorumVerifier verifier = new QuorumVerifier("network", header, SuccessionTerms(address(0), 1, 0, 0));
        (bool ok, bytes memory answer) = address(verifier)
            .staticcall(
                abi.encodeCall(
                    QuorumVerifier.verify,
                    (
                        word("digest"),
                        uint32(number("epoch")),
                        word("headerHash"),
                        uint16(number("thresholdBps")),
                        data("certificate")
                    )
                )
            );
        assertEq(ok, truth("valid"), text("name"));
        if (!ok) return;
        (uint128 signed, uint128 total) = abi.decode(answer, (uint128, uint128));
        assertEq(signed, number("signedWeight"), text("name"));
        assertEq(total, number("totalWeight"), text("name"));
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";
import {EcdsaCertificateLib} from "../../src/libraries/EcdsaCertificateLib.sol";
import {SuccessionTerms} from "../../src/verifier/OperatorSetChain.sol";
import {WeightedEcdsaVerifier} from "../../src/verifier/WeightedEcdsaVerifier.sol";

/// @notice `consensus/ecdsa.py` and the contract say the same, byte for byte: `tests/vectors/README.md`.
contract EcdsaVectorsTest is Test {
    string private json;
    string private at;

    function setUp() public {
        json = vm.readFile("../tests/vectors/ecdsa.json");
    }

    function select(string memory list, uint256 index) private {
        at = string.concat(".", list, "[", vm.toString(index), "].");
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

    function test_Votes() public {
        bytes32 alertTypehash = vm.parseJsonBytes32(json, ".alertTypehash");
        bytes32 handoverTypehash = vm.parseJsonBytes32(json, ".handoverTypehash");
        uint256 count = vm.parseJsonUint(json, ".voteCount");

        assertEq(EcdsaCertificateLib.ECDSA_ALERT_TYPEHASH, alertTypehash);
        assertEq(EcdsaCertificateLib.ECDSA_HANDOVER_TYPEHASH, handoverTypehash);
        assertGt(count, 0);
        for (uint256 i = 0; i < count; ++i) {
            select("votes", i);
            bool isAlert = keccak256(bytes(text("kind"))) == keccak256("ALERT");
            bytes32 message =
                EcdsaCertificateLib.messageHash(isAlert ? alertTypehash : handoverTypehash, word("digest"));
            (bytes32 r, bytes32 vs) = vm.signCompact(uint256(word("secretKey")), message);

            assertEq(message, word("messageHash"));
            assertEq(
                ECDSA.recover(message, word("r"), word("vs")),
                vm.parseJsonAddress(json, string.concat(at, "signer"))
            );
            assertEq(r, word("r"), "RFC 6979");
            assertEq(vs, word("vs"), "RFC 6979");
        }
    }

    function test_Sets() public {
        uint256 count = vm.parseJsonUint(json, ".setCount");
        assertGt(count, 0);
        for (uint256 i = 0; i < count; ++i) {
            select("sets", i);
            bytes memory set = data("header");
            address[] memory signers = vm.parseJsonAddressArray(json, string.concat(at, "addresses"));
            uint256[] memory weights = vm.parseJsonUintArray(json, string.concat(at, "weights"));
            for (uint256 j = 0; j < signers.length; ++j) {
                set = abi.encodePacked(set, signers[j], uint96(weights[j]));
            }

            assertEq(set, data("set"), text("name"));
            assertEq(keccak256(set), word("setHash"), text("name"));
            assertEq(deploy().setHashes(uint32(bytes4(set))), word("setHash"), text("name"));
        }
    }

    function deploy() private returns (WeightedEcdsaVerifier) {
        vm.warp(number("captureTime"));
        SuccessionTerms memory terms =
            SuccessionTerms({owner: address(0), minEpochInterval: 1, grace: 0, resetDelay: 0});
        return new WeightedEcdsaVerifier(vm.parseJsonBytes32(json, ".networkId"), data("set"), terms);
    }

    function test_Certificates() public {
        uint256 count = vm.parseJsonUint(json, ".count");
        uint256 refused = 0;
        for (uint256 i = 0; i < count; ++i) {
            select("cases", i);
            WeightedEcdsaVerifier verifier = deploy();
            if (vm.parseJsonBool(json, string.concat(at, "valid"))) {
                (uint128 signed, uint128 total) = ask(verifier);
                assertEq(signed, number("signedWeight"), text("name"));
                assertEq(total, number("totalWeight"), text("name"));
            } else {
                (bool ok,) = address(verifier).staticcall(question());
                assertFalse(ok, text("name"));
                ++refused;
            }
        }
        assertGt(refused, 0);
        assertGt(count, refused);
    }

    function ask(WeightedEcdsaVerifier verifier) private view returns (uint128, uint128) {
        (bool ok, bytes memory answer) = address(verifier).staticcall(question());
        assertTrue(ok, text("name"));
        return abi.decode(answer, (uint128, uint128));
    }

    function question() private view returns (bytes memory) {
        return abi.encodeCall(
            WeightedEcdsaVerifier.verify,
            (
                word("digest"),
                uint32(number("epoch")),
                word("headerHash"),
                uint16(number("thresholdBps")),
                data("certificate")
            )
        );
    }
}

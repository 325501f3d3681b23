// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {SuccessionTerms} from "../../src/verifier/OperatorSetChain.sol";
import {PagedQuorumVerifier} from "../../src/verifier/PagedQuorumVerifier.sol";

/// @notice Pages, placements and certificates that Python made: `tests/vectors/README.md`.
contract PagedVectorsTest is Test {
    string private json;
    string private at;
    PagedQuorumVerifier private verifier;

    function setUp() public {
        json = vm.readFile("../tests/vectors/paged.json");
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

    function test_CertificatesPassOrAreRefusedAsPythonSays() public {
        uint256 count = vm.parseJsonUint(json, ".count");
        assertGt(count, 0);
        for (uint256 i = 0; i < count; ++i) {
            at = string.concat(".cases[", vm.toString(i), "].");
            deploy();
            bindPlacement();
            check();
        }
    }

    function deploy() private {
        bytes memory header = data("header");
        uint64 captureTime;
        assembly {
            captureTime := shr(192, mload(add(add(header, 32), 30)))
        }
        vm.warp(captureTime + 1);
        verifier = new PagedQuorumVerifier("network", header, SuccessionTerms(address(0), 1, 0, 0));
    }

    function bindPlacement() private {
        bytes[] memory pages = vm.parseJsonBytesArray(json, string.concat(at, "pages"));
        bytes32[] memory ids = vm.parseJsonBytes32Array(json, string.concat(at, "pageIds"));
        for (uint256 i = 0; i < pages.length; ++i) {
            assertEq(verifier.addKeys(pages[i]), ids[i]);
        }
        assertTrue(verifier.bind(data("header"), data("placement")));
        assertEq(verifier.boundPlacement(word("headerHash")), word("commitment"));
    }

    function check() private view {
        string memory name = vm.parseJsonString(json, string.concat(at, "name"));
        bool valid = vm.parseJsonBool(json, string.concat(at, "valid"));
        (bool ok, bytes memory answer) = ask(data("certificate"));
        assertEq(ok, valid, name);
        if (!valid) return;

        (uint256 signed, uint256 total) = abi.decode(answer, (uint256, uint256));
        assertEq(signed, number("signedWeight"), name);
        assertEq(total, number("totalWeight"), name);
        // The same signature, listed the long way.
        (, bytes memory flatAnswer) = ask(data("flatCertificate"));
        assertEq(answer, flatAnswer, name);
    }

    function ask(bytes memory certificate) private view returns (bool, bytes memory) {
        return address(verifier)
            .staticcall(
                abi.encodeCall(
                    verifier.verify,
                    (
                        word("digest"),
                        uint32(number("epoch")),
                        word("headerHash"),
                        uint16(number("thresholdBps")),
                        certificate
                    )
                )
            );
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381, G1Point, G2Point} from "../../src/libraries/Bls12381.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Signer} from "../support/Signer.sol";
import {Verifying} from "../support/Verifying.sol";

/// @notice Points and precompiles that are not what they should be.
contract PointsTest is Verifying {
    // ---- points

    function expectPointRefused(bytes memory signature) internal {
        expectRevert(
            abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING),
            assemble(signature, HeaderLib.MODE_ABSENT, none())
        );
    }

    function test_T04_RevertIf_SignatureIsInfinity() public {
        expectRevert(
            abi.encodePacked(CertificateLib.SignatureIsInfinity.selector),
            assemble(new bytes(96), HeaderLib.MODE_ABSENT, none())
        );
    }

    /// @dev Two keys that cancel: one holder can prove possession of both.
    function test_T04_RevertIf_SignersKeysCancel() public {
        uint256 secret = Signer.key(0);
        bytes memory one = abi.encodePacked(uint16(0), uint96(50), Signer.publicKey(secret));
        bytes memory other = abi.encodePacked(uint16(1), uint96(50), Signer.publicKey(Signer.ORDER - secret));
        bytes memory third = abi.encodePacked(uint16(2), uint96(1), Signer.publicKey(Signer.key(2)));
        bytes memory leaves_ = abi.encodePacked(keccak256(one), keccak256(other), keccak256(third));
        bytes memory header_ = abi.encodePacked(
            EPOCH,
            uint16(3),
            uint128(101),
            uint64(1),
            uint64(START),
            uint64(START + 1 days),
            bytes32(0),
            keccak256(leaves_),
            Signer.publicKey(Signer.key(2))
        );
        verifier = new QuorumVerifier(NETWORK_ID, header_, successionTerms());
        bytes memory signature = Signer.rawG1(Bls12381.generatorG1());
        bytes memory certificate =
            abi.encodePacked(header_, signature, HeaderLib.MODE_ABSENT, uint16(1), leaves_, third);

        vm.expectRevert(CertificateLib.KeyIsInfinity.selector);
        verifier.verify(DIGEST, EPOCH, keccak256(header_), TWO_THIRDS, certificate);
    }

    function test_RevertIf_SignatureIsOffTheCurve() public {
        bytes memory signature = signatureWithout(DIGEST, none());
        signature[95] = bytes1(uint8(signature[95]) ^ 1);

        expectPointRefused(signature);
    }

    function test_T05_RevertIf_SignatureIsNotCanonical() public {
        // x + p stands for the same point; only one of the two encodings may pass.
        bytes memory signature = signatureWithout(DIGEST, none());
        uint256 low;
        uint256 high;
        assembly {
            high := shr(128, mload(add(signature, 32)))
            low := mload(add(signature, 48))
        }
        unchecked {
            uint256 sum = low + Bls12381.P_LOW;
            high = high + Bls12381.P_HIGH + (sum < low ? 1 : 0);
            low = sum;
        }
        expectPointRefused(replace(signature, 0, abi.encodePacked(uint128(high), low)));
    }

    function test_T05_RevertIf_SignatureHasYAboveTheFieldOrCompressionFlags() public {
        bytes memory signature = signatureWithout(DIGEST, none());
        bytes memory prime = abi.encodePacked(uint128(Bls12381.P_HIGH), Bls12381.P_LOW);

        expectPointRefused(replace(signature, 48, prime));
        for (uint8 flag = 0x20; flag != 0; flag <<= 1) {
            expectPointRefused(replace(signature, 0, abi.encodePacked(uint8(signature[0]) | flag)));
        }
    }

    function test_T06_RevertIf_SignatureIsOffTheSubgroup() public {
        // x = 4 lies on the curve, not in the subgroup: y^2 = 4^3 + 4 = 68.
        expectPointRefused(
            bytes.concat(
                new bytes(47),
                hex"04",
                hex"0a989badd40d6212b33cffc3f3763e9bc760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c"
            )
        );
    }

    /// @dev The addition takes a key off the subgroup; the pairing does not take the sum.
    function test_T06_RevertIf_SumOfKeysLeavesTheSubgroup() public {
        bytes memory stray =
            vm.parseJsonBytes(vm.readFile("../tests/vectors/contracts.json"), ".g2_off_subgroup");
        entries[6] = abi.encodePacked(uint16(6), uint96(100), stray);
        leaves[6] = keccak256(entries[6]);
        header = replace(header, 78, abi.encodePacked(keccak256(abi.encodePacked(leaves))));
        headerHash = keccak256(header);
        verifier = new QuorumVerifier(NETWORK_ID, header, successionTerms());

        expectRevert(
            abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING),
            assemble(signatureWithout(DIGEST, none()), HeaderLib.MODE_ABSENT, list(6))
        );
    }

    /// @dev There is one key for each operator, in G2, so no second one and no gamma that would have to bind it. What
    ///      gamma protects holds without: another signature, hash or key, and the check fails.
    function test_T10_EveryInputOfThePairingCounts() public view {
        G1Point memory hash = Bls12381.hashToG1(abi.encodePacked(DIGEST), AlertLib.ALERT_DST, 100_000);
        G1Point memory other = Bls12381.hashToG1("other", AlertLib.ALERT_DST, 100_000);
        G2Point memory key = Bls12381.loadG2(Signer.publicKey(Signer.key(0)), 0);
        G1Point memory signature = this.pointOf(Signer.sign(Signer.key(0), DIGEST, AlertLib.ALERT_DST));

        assertTrue(Bls12381.isSignatureBy(signature, hash, key, 200_000));
        assertFalse(Bls12381.isSignatureBy(other, hash, key, 200_000));
        assertFalse(Bls12381.isSignatureBy(signature, other, key, 200_000));
        assertFalse(Bls12381.isSignatureBy(signature, hash, Bls12381.generatorG2(), 200_000));
    }

    function pointOf(bytes calldata raw) external pure returns (G1Point memory) {
        return Bls12381.readG1(raw, 0);
    }

    // ---- precompiles

    /// @dev What an address without code answers, on a chain that lost its precompiles after the deployment.
    function test_T30_RevertIf_PrecompileGoesMissingLater() public {
        bytes memory certificate = certify(DIGEST, list(1));
        address[5] memory precompiles =
            [address(0x05), address(0x0b), address(0x0d), address(0x0f), address(0x10)];

        for (uint256 i = 0; i < 5; ++i) {
            vm.mockCall(precompiles[i], bytes(""), bytes(""));
            expectRevert(
                abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, precompiles[i]), certificate
            );
            vm.clearMockedCalls();
        }
        verify(certificate);
    }

    /// @dev A price list is not read from a constant: twice what was measured here, and never below a floor.
    function test_T31_GasLimitsOfPrecompilesAreMeasured() public view {
        assertEq(verifier.pairingGasLimit(), 250_000);
        assertEq(verifier.pointGasLimit(), 60_000);
        bytes memory certificate = certify(DIGEST, list(1));

        // Whoever gives the whole call too little gas makes it fail; nobody can make it pass.
        for (uint256 gas = 20_000; gas < 120_000; gas += 5_000) {
            (bool ok,) = address(verifier).staticcall{gas: gas}(
                abi.encodeCall(verifier.verify, (DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate))
            );
            assertFalse(ok);
        }
        verify(certificate);
    }

    function test_T31_RefusalOfAPointCostsABoundedAmount() public view {
        bytes memory signature = signatureWithout(DIGEST, none());
        signature[95] = bytes1(uint8(signature[95]) ^ 1);
        bytes memory certificate = assemble(signature, HeaderLib.MODE_ABSENT, none());

        uint256 before = gasleft();
        try verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate) {
            revert("expected a refusal");
        } catch {}
        assertLt(before - gasleft(), verifier.pairingGasLimit() + 100_000);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {stdError} from "forge-std/StdError.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Network} from "../support/Network.sol";
import {Signer} from "../support/Signer.sol";
import {Verifying} from "../support/Verifying.sol";

/// @notice Who signed, with which weight, for which set.
contract VerifyTest is Verifying {
    // ---- accepted

    function test_AllSigned() public view {
        (uint128 signed, uint128 total) = verify(certify(DIGEST, none()));

        assertEq(signed, 700);
        assertEq(total, 700);
    }

    function test_AbsentKeysComeOff() public view {
        (uint128 signed,) = verify(certify(DIGEST, list(1, 6)));

        assertEq(signed, 500);
    }

    /// @dev apk - S at its edges; where nothing is left, `test_T04_RevertIf_SignersKeysCancel`.
    function test_T08_AllButOneAndNobodyComeOff() public view {
        uint256[] memory six = new uint256[](6);
        for (uint256 i = 0; i < 6; ++i) {
            six[i] = i + 1;
        }

        (uint128 one,) = verifier.verify(DIGEST, EPOCH, headerHash, 1000, certify(DIGEST, six));
        (uint128 all,) = verifier.verify(DIGEST, EPOCH, headerHash, 1000, certify(DIGEST, none()));

        assertEq(one, 100);
        assertEq(all, 700);
    }

    function test_PresentKeysAreSummed() public view {
        (uint128 signed,) =
            verifier.verify(DIGEST, EPOCH, headerHash, 3334, certifyPresent(DIGEST, list(0, 3, 4)));

        assertEq(signed, 300);
    }

    function test_OneSignerOfMuchWeight() public {
        uint96[] memory uneven = new uint96[](3);
        (uneven[0], uneven[1], uneven[2]) = (1, 1000, 1);
        setUpNetwork(uneven);

        (uint128 signed,) = verify(certify(DIGEST, list(0, 2)));

        assertEq(signed, 1000);
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_PassesExactlyWhenWeightIsAboveTheShare(
        uint8 absentMask,
        uint16 bps,
        uint96[7] memory drawn
    ) public {
        uint96[] memory weights_ = new uint96[](7);
        uint256 total = 0;
        uint256 signed = 0;
        uint256 absentCount = 0;
        for (uint256 i = 0; i < 7; ++i) {
            weights_[i] = uint96(bound(drawn[i], 1, type(uint96).max));
            total += weights_[i];
            if (absentMask >> i & 1 == 0) signed += weights_[i];
            else ++absentCount;
        }
        vm.assume(absentCount < 7);
        bps = uint16(bound(bps, 0, 10_000));
        setUpNetwork(weights_);
        uint256[] memory absent = new uint256[](absentCount);
        for ((uint256 i, uint256 at) = (0, 0); i < 7; ++i) {
            if (absentMask >> i & 1 == 1) absent[at++] = i;
        }
        bytes memory certificate = certify(DIGEST, absent);

        if (signed * 10_000 <= total * bps) {
            vm.expectRevert(
                abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, signed, total, bps)
            );
        }
        verifier.verify(DIGEST, EPOCH, headerHash, bps, certificate);
    }

    /// @dev So what a guardian has answered is kept by slot and action, never by a certificate's bytes.
    function test_T15_ManyCertificatesProveOneDigest() public view {
        bytes memory byAbsence = certify(DIGEST, list(5, 6));
        bytes memory byPresence = certifyPresent(DIGEST, firstOf(5));

        verify(certify(DIGEST, none()));
        verify(certify(DIGEST, list(0, 1)));
        verify(byAbsence);
        verify(byPresence);
        assertNotEq(keccak256(byAbsence), keccak256(byPresence));
    }

    // ---- weight

    function test_RevertIf_WeightEqualsThreshold() public {
        uint96[] memory uneven = new uint96[](2);
        (uneven[0], uneven[1]) = (6667, 3333);
        setUpNetwork(uneven);
        bytes memory certificate = certify(DIGEST, list(1));

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 6667, 10_000, 6667));
        verifier.verify(DIGEST, EPOCH, headerHash, 6667, certificate);
        verifier.verify(DIGEST, EPOCH, headerHash, 6666, certificate);
    }

    function test_RevertIf_TooLittleWeight() public {
        expectRevert(
            abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 400, 700, TWO_THIRDS),
            certify(DIGEST, list(0, 1, 2))
        );
    }

    function test_T17_RevertIf_ThresholdZeroAndNobodySigned() public {
        bytes memory nobody = abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 0, 700, 0);

        // Both points at infinity would satisfy the pairing; a weight of zero is not above zero before that.
        vm.expectRevert(nobody);
        verifier.verify(
            DIGEST, EPOCH, headerHash, 0, assemble(new bytes(96), HeaderLib.MODE_ABSENT, everybody())
        );
        bytes memory signature = Signer.rawG1(Bls12381.generatorG1());
        vm.expectRevert(nobody);
        verifier.verify(DIGEST, EPOCH, headerHash, 0, assemble(signature, HeaderLib.MODE_ABSENT, everybody()));
    }

    /// @dev 66 % of a total of one, rounded down, is zero: a floor would take a certificate of nobody.
    function test_T17_ShareIsComparedByCrossMultiplication() public {
        uint96[] memory one = new uint96[](1);
        one[0] = 1;
        setUpNetwork(one);
        bytes memory ofNobody = assemble(Signer.rawG1(Bls12381.generatorG1()), HeaderLib.MODE_ABSENT, list(0));

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 0, 1, 6600));
        verifier.verify(DIGEST, EPOCH, headerHash, 6600, ofNobody);
        bytes memory ofAll = certify(DIGEST, none());
        verifier.verify(DIGEST, EPOCH, headerHash, 9999, ofAll);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 1, 1, 10_000));
        verifier.verify(DIGEST, EPOCH, headerHash, 10_000, ofAll);
    }

    /// @dev A genesis whose total is below its leaves' sum is a lie of the deployer; it must not wrap into a quorum.
    function test_T18_RevertIf_AbsentWeighMoreThanTheTotal() public {
        header = replace(header, 6, abi.encodePacked(uint128(99)));
        headerHash = keccak256(header);
        verifier = new QuorumVerifier(NETWORK_ID, header, successionTerms());

        expectRevert(stdError.arithmeticError, certify(DIGEST, list(0)));
    }

    // ---- who signed

    function test_T12_RevertIf_AbsentOperatorIsClaimedAsSigner() public {
        bytes memory signature = signatureWithout(DIGEST, list(2));

        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemble(signature, HeaderLib.MODE_ABSENT, none())
        );
    }

    function test_T12_RevertIf_SignerIsListedAbsent() public {
        bytes memory signature = signatureWithout(DIGEST, none());

        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemble(signature, HeaderLib.MODE_ABSENT, list(2))
        );
    }

    function test_T12_RevertIf_PresentListedDidNotSign() public {
        bytes memory signature = signatureOf(DIGEST, list(0, 1));

        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemble(signature, HeaderLib.MODE_PRESENT, firstOf(6))
        );
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_RevertIf_DigestDiffers(bytes32 other) public {
        vm.assume(other != DIGEST);
        bytes memory certificate = certify(DIGEST, none());

        vm.expectRevert(CertificateLib.SignatureInvalid.selector);
        verifier.verify(other, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function test_T03_RevertIf_SignatureHasAnotherTag() public {
        uint256 sum = 0;
        for (uint256 i = 0; i < 7; ++i) {
            sum = addmod(sum, Signer.key(i), Signer.ORDER);
        }
        bytes memory signature = Signer.sign(sum, DIGEST, AlertLib.POSSESSION_DST);

        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemble(signature, HeaderLib.MODE_ABSENT, none())
        );
    }

    // ---- header

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_RevertIf_HeaderIsAltered(uint16 at, uint8 mask) public {
        at = uint16(bound(at, 0, 301));
        vm.assume(mask != 0);
        bytes memory certificate = certify(DIGEST, none());
        bytes memory altered = replace(certificate, at, abi.encodePacked(uint8(certificate[at]) ^ mask));

        expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderMismatch.selector, keccak256(slice(altered, 0, 302)), headerHash
            ),
            altered
        );
    }

    function test_RevertIf_EpochDiffersFromHeader() public {
        bytes memory certificate = certify(DIGEST, none());

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.EpochMismatch.selector, EPOCH, EPOCH + 4));
        verifier.verify(DIGEST, EPOCH + 4, headerHash, TWO_THIRDS, certificate);
    }

    function test_T22_RevertIf_HeaderIsOfAnotherSet() public {
        QuorumVerifier first = verifier;
        uint96[] memory others = new uint96[](2);
        (others[0], others[1]) = (10, 10);
        setUpNetwork(others);
        bytes memory certificate = certify(DIGEST, none());

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, headerHash));
        first.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function test_RevertIf_HeaderHasExpired() public {
        bytes memory certificate = certify(DIGEST, none());
        uint64 validUntil = uint64(START + 30 days);

        vm.warp(validUntil);
        verify(certificate);
        vm.warp(validUntil + 1);
        expectRevert(
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, validUntil, validUntil + 1),
            certificate
        );
    }
}

contract DeployVerifierTest is Network {
    uint96[] internal three;

    function setUp() public {
        vm.warp(START);
        three.push(1);
        three.push(1);
        three.push(1);
        header = makeHeader(three, EPOCH, uint64(START), uint64(START + 1 days));
    }

    function test_InstallsGenesisHeader() public {
        vm.expectEmit();
        emit OperatorSetChain.SetInstalled(EPOCH, keccak256(header), header);
        verifier = new QuorumVerifier(NETWORK_ID, header, successionTerms());

        (uint32 epoch, uint64 validUntil) = verifier.currentSet();
        assertEq(epoch, EPOCH);
        assertEq(validUntil, START + 1 days);
        assertEq(verifier.setHashes(EPOCH), keccak256(header));
        assertEq(verifier.setHashes(EPOCH + 1), bytes32(0));
        assertEq(verifier.setHashes(EPOCH - 1), bytes32(0));
        assertEq(verifier.graceUntil(), 0);
    }

    /// @dev As a call, so that a test goes on after a refusal however forge links the contract.
    function deployWith(bytes32 networkId, bytes memory header_) external {
        new QuorumVerifier(networkId, header_, successionTerms());
    }

    function expectMissing(address precompile) internal {
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.PrecompilesMissing.selector, precompile));
        this.deployWith(NETWORK_ID, header);
        vm.clearMockedCalls();
    }

    function test_T30_RevertIf_PrecompileIsMissing() public {
        // What an address without code answers: success, and nothing.
        address[4] memory precompiles = [address(0x0b), address(0x0d), address(0x0f), address(0x10)];
        for (uint256 i = 0; i < 4; ++i) {
            vm.mockCall(precompiles[i], bytes(""), bytes(""));
            expectMissing(precompiles[i]);
        }
    }

    function test_T30_RevertIf_PairingIsAlwaysTrue() public {
        vm.mockCall(address(0x0f), bytes(""), abi.encode(1));
        expectMissing(address(0x0f));
    }

    function test_T30_RevertIf_PairingIsAlwaysFalse() public {
        vm.mockCall(address(0x0f), bytes(""), abi.encode(0));
        expectMissing(address(0x0f));
    }

    function test_T30_RevertIf_MapIsAnotherThing() public {
        vm.mockCall(address(0x10), bytes(""), abi.encode(Bls12381.generatorG1()));
        expectMissing(address(0x10));
    }

    function test_RevertIf_NetworkIdIsZero() public {
        vm.expectRevert(OperatorSetChain.NetworkIdZero.selector);
        this.deployWith(bytes32(0), header);
    }

    function test_RevertIf_HeaderLengthDiffers() public {
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 10, 302));
        this.deployWith(NETWORK_ID, new bytes(10));
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 303, 302));
        this.deployWith(NETWORK_ID, bytes.concat(header, hex"00"));
    }

    function test_RevertIf_HeaderIsOutOfTime() public {
        // Ended in this very second: it could be installed and not act.
        vm.warp(START + 1 days);
        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderOutOfTime.selector, START, START + 1 days, vm.getBlockTimestamp()
            )
        );
        this.deployWith(NETWORK_ID, header);
        vm.warp(START - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderOutOfTime.selector, START, START + 1 days, vm.getBlockTimestamp()
            )
        );
        this.deployWith(NETWORK_ID, header);
    }

    function test_RevertIf_HeaderHasNoOperatorsOrWeight() public {
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.HeaderInvalid.selector, 0, 256, 3));
        this.deployWith(NETWORK_ID, replace(header, 4, hex"0000"));
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.HeaderInvalid.selector, 257, 256, 3));
        this.deployWith(NETWORK_ID, replace(header, 4, hex"0101"));
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.HeaderInvalid.selector, 3, 256, 0));
        this.deployWith(NETWORK_ID, replace(header, 6, new bytes(16)));
    }

    function test_HeaderMayHave256OperatorsAndAWeightOfOne() public {
        this.deployWith(NETWORK_ID, replace(header, 4, abi.encodePacked(uint16(256), uint128(1))));
    }

    function expectSumRefused(bytes memory reason, bytes memory apk) private {
        vm.expectRevert(reason);
        this.deployWith(NETWORK_ID, replace(header, 110, apk));
    }

    function test_T04_RevertIf_SumOfKeysIsInfinity() public {
        expectSumRefused(abi.encodePacked(CertificateLib.KeyIsInfinity.selector), new bytes(192));
    }

    function test_T05_RevertIf_SumOfKeysIsNotCanonical() public {
        string memory points = vm.readFile("../tests/vectors/contracts.json");
        bytes memory apk = slice(header, 110, 302);
        bytes memory refused = abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING);

        expectSumRefused(refused, vm.parseJsonBytes(points, ".g2_not_canonical"));
        // c1 before c0, as other libraries write them.
        expectSumRefused(
            refused,
            bytes.concat(slice(apk, 48, 96), slice(apk, 0, 48), slice(apk, 144, 192), slice(apk, 96, 144))
        );
    }

    function test_T06_RevertIf_SumOfKeysIsOffTheSubgroupOrTheCurve() public {
        string memory points = vm.readFile("../tests/vectors/contracts.json");
        bytes memory apk = slice(header, 110, 302);
        bytes memory refused = abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING);

        expectSumRefused(refused, vm.parseJsonBytes(points, ".g2_off_subgroup"));
        expectSumRefused(refused, replace(apk, 191, abi.encodePacked(uint8(apk[191]) ^ 1)));
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {QuorumLib} from "../../src/libraries/QuorumLib.sol";

/// @notice Shares of weight, on numbers alone.
contract QuorumLibTest is Test {
    // ---- one share

    /// @dev By division, which is the same as long as the comparison is strict.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_ShareIsExact(uint128 signed, uint128 total, uint16 bps) public pure {
        uint256 atMost = uint256(total) * bps / 10_000;

        assertEq(QuorumLib.isAbove(signed, total, bps), signed > atMost);
        assertEq(QuorumLib.isAboveTwoThirds(signed, total), signed > uint256(total) * 2 / 3);
    }

    /// @dev At the edge itself, where random numbers never come.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_T17_OneUnitDecides(uint128 total, uint16 bps) public pure {
        bps = uint16(bound(bps, 0, 9_999));
        total = uint128(bound(total, 1, type(uint128).max));
        uint256 most = uint256(total) * bps / 10_000;
        uint256 twoThirds = uint256(total) * 2 / 3;

        assertFalse(QuorumLib.isAbove(most, total, bps));
        assertTrue(QuorumLib.isAbove(most + 1, total, bps));
        assertFalse(QuorumLib.isAboveTwoThirds(twoThirds, total));
        assertTrue(QuorumLib.isAboveTwoThirds(twoThirds + 1, total));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_T17_NobodyIsNeverEnough(uint128 total, uint16 bps) public pure {
        assertFalse(QuorumLib.isAbove(0, total, bps));
        assertFalse(QuorumLib.isAboveTwoThirds(0, total));
    }

    /// @dev A share of everything asks for more than there is.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_MoreWeightNeverHurtsAndAHigherThresholdNeverHelps(
        uint128 signed,
        uint128 more,
        uint128 total,
        uint16 bps,
        uint16 higher
    ) public pure {
        (signed, more) = signed < more ? (signed, more) : (more, signed);
        (bps, higher) = bps < higher ? (bps, higher) : (higher, bps);

        if (QuorumLib.isAbove(signed, total, bps)) assertTrue(QuorumLib.isAbove(more, total, bps));
        if (QuorumLib.isAbove(signed, total, higher)) assertTrue(QuorumLib.isAbove(signed, total, bps));
        if (signed <= total) assertFalse(QuorumLib.isAbove(signed, total, 10_000));
    }

    // ---- two quorums of one set

    /// @dev Any two that may pause, or hand over, have members of more than a third in common: to pause for two
    ///      stories at once, that much must have lied.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_I2_TwoPauseQuorumsShareMoreThanAThird(
        uint96[12] memory weights,
        uint256 one,
        uint256 other
    ) public pure {
        uint256 total = sumOf(weights, type(uint256).max);
        vm.assume(total > 0);
        uint256 first = quorum(weights, total, one);
        uint256 second = quorum(weights, total, other);

        assertTrue(QuorumLib.isAboveTwoThirds(sumOf(weights, first), total));
        assertTrue(QuorumLib.isAboveTwoThirds(sumOf(weights, second), total));
        assertGt(3 * sumOf(weights, first & second), total);
    }

    /// @dev Levels below: any two that may freeze share a member, and so do one that may limit and one that may pause.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_QuorumsOfLowerLevelsMeetThoseAbove(uint96[8] memory weights, uint8 one, uint8 other)
        public
        pure
    {
        uint256 total = 0;
        (uint256 first, uint256 second, uint256 shared) = (0, 0, 0);
        for (uint256 i = 0; i < 8; ++i) {
            total += weights[i];
            if (one >> i & 1 == 1) first += weights[i];
            if (other >> i & 1 == 1) second += weights[i];
            if ((one & other) >> i & 1 == 1) shared += weights[i];
        }

        if (QuorumLib.isAbove(first, total, 5000) && QuorumLib.isAbove(second, total, 5000)) {
            assertGt(shared, 0);
        }
        if (QuorumLib.isAbove(first, total, 3334) && QuorumLib.isAboveTwoThirds(second, total)) {
            assertGt(shared, 0);
        }
    }

    /// @dev The members from a random place on, until they are just enough: the leanest quorums share least.
    function quorum(uint96[12] memory weights, uint256 total, uint256 seed)
        private
        pure
        returns (uint256 mask)
    {
        uint256 signed = 0;
        for (uint256 i = 0; i < 12 && !QuorumLib.isAboveTwoThirds(signed, total); ++i) {
            uint256 place = seed & 1 == 0 ? (seed / 2 % 12 + i) % 12 : (seed / 2 % 12 + 12 - i) % 12;
            mask |= 1 << place;
            signed += weights[place];
        }
    }

    function sumOf(uint96[12] memory weights, uint256 mask) private pure returns (uint256 sum) {
        for (uint256 i = 0; i < 12; ++i) {
            if (mask >> i & 1 == 1) sum += weights[i];
        }
    }
}

/// @notice What a certificate says of weight, on bytes alone: no key of these is a point.
contract MeasureTest is Test {
    uint256 private constant COUNT = 6;

    function measure(bytes calldata certificate) external pure returns (uint256, uint256) {
        return CertificateLib.measure(certificate);
    }

    function signersOf(bytes calldata certificate) external pure returns (uint256 mask) {
        for (uint16 i = 0; i < 32; ++i) {
            if (CertificateLib.isSigner(certificate, i)) mask |= 1 << i;
        }
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_CountsExactlyTheSigners(uint96[6] memory weights, uint8 signers, bool listsSigners)
        public
        view
    {
        signers = uint8(bound(signers, 1, 63));
        uint256 listed = listsSigners ? signers : 63 ^ signers;
        uint256 expected = 0;
        uint256 total = 0;
        for (uint256 i = 0; i < COUNT; ++i) {
            total += weights[i];
            if (signers >> i & 1 == 1) expected += weights[i];
        }
        bytes memory certificate = assemble(weights, total, listsSigners ? 1 : 0, listed);

        (uint256 signedWeight, uint256 totalWeight) = this.measure(certificate);

        assertEq(signedWeight, expected);
        assertEq(totalWeight, total);
        assertEq(this.signersOf(certificate), signers, "who is slashable");
    }

    function assemble(uint96[6] memory weights, uint256 total, uint8 mode, uint256 listed)
        private
        pure
        returns (bytes memory)
    {
        bytes memory leaves = "";
        bytes memory entries = "";
        uint16 count = 0;
        for (uint256 i = 0; i < COUNT; ++i) {
            bytes memory entry = abi.encodePacked(uint16(i), weights[i], new bytes(192));
            leaves = abi.encodePacked(leaves, keccak256(entry));
            if (listed >> i & 1 == 0) continue;
            entries = abi.encodePacked(entries, entry);
            ++count;
        }
        bytes memory header = abi.encodePacked(
            uint32(1),
            uint16(COUNT),
            uint128(total),
            new bytes(24),
            bytes32(0),
            keccak256(leaves),
            new bytes(192)
        );
        bytes memory fixed_ = abi.encodePacked(header, new bytes(HeaderLib.SIGNATURE_BYTES), mode, count);
        return count == 0 ? fixed_ : bytes.concat(fixed_, leaves, entries);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {EcdsaCertificateLib} from "../../src/libraries/EcdsaCertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {EcdsaNetwork} from "../support/EcdsaNetwork.sol";

/// @notice The library's reading of bytes against a twin in plain Solidity.
contract EcdsaCertificateTest is EcdsaNetwork {
    function setUp() public {
        vm.warp(START);
        set = makeSet(equalWeights(7), EPOCH, bytes32(0));
    }

    function measure(bytes calldata certificate) external pure returns (uint256, uint256) {
        EcdsaCertificateLib.setOf(certificate);
        return EcdsaCertificateLib.measure(certificate);
    }

    /// @dev As the layout says, one slice for each field.
    function measurePlainly(bytes calldata certificate)
        external
        pure
        returns (uint256 signed, uint256 total)
    {
        uint256 operators = uint16(bytes2(certificate[4:6]));
        uint256 countAt = 302 + operators * 32;
        uint256 count = uint16(bytes2(certificate[countAt:countAt + 2]));
        require(certificate.length == countAt + 2 + count * 66);
        int256 last = -1;
        for (uint256 i = 0; i < count; ++i) {
            uint256 at = countAt + 2 + i * 66;
            int256 index = int256(uint256(uint16(bytes2(certificate[at:at + 2]))));
            require(index > last && index < int256(operators));
            last = index;
            uint256 entryAt = 302 + uint256(index) * 32;
            signed += uint96(bytes12(certificate[entryAt + 20:entryAt + 32]));
        }
        total = uint128(bytes16(certificate[6:22]));
    }

    function setOf(bytes calldata certificate) external pure returns (bytes memory) {
        return EcdsaCertificateLib.setOf(certificate);
    }

    function requireSound(bytes calldata set_) external pure {
        EcdsaCertificateLib.requireSound(set_, HeaderLib.decode(set_));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_SignedWeightIsTheSumOfTheListed(uint96[7] memory weights_, uint128 total, uint8 listed)
        public
        view
    {
        bytes memory made = abi.encodePacked(EPOCH, uint16(7), total, new bytes(280));
        bytes memory cast;
        uint256 sum = 0;
        for (uint16 i = 0; i < 7; ++i) {
            made = abi.encodePacked(made, address(uint160(i) + 1), weights_[i]);
            if (listed >> i & 1 == 0) continue;
            sum += weights_[i];
            cast = abi.encodePacked(cast, i, bytes32(0), bytes32(0));
        }

        (uint256 measured, uint256 measuredTotal) = this.measure(envelope(made, cast));

        assertEq(measured, sum);
        assertEq(measuredTotal, total);
    }

    function testFuzz_ReadsIndicesAsThePlainTwin(uint16[4] memory indices) public view {
        bytes memory cast;
        for (uint256 i = 0; i < 4; ++i) {
            cast = abi.encodePacked(cast, uint16(bound(indices[i], 0, 8)), bytes32(0), bytes32(0));
        }
        checkTwin(envelope(set, cast));
    }

    function checkTwin(bytes memory certificate) private view {
        (bool ok, bytes memory read) = address(this).staticcall(abi.encodeCall(this.measure, (certificate)));
        (bool okPlainly, bytes memory plain) =
            address(this).staticcall(abi.encodeCall(this.measurePlainly, (certificate)));

        assertEq(ok, okPlainly);
        if (ok) assertEq(read, plain);
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_SetEndsWhereItsCountSays(uint16 operators, uint16 lacking) public {
        operators = uint16(bound(operators, 0, 40));
        bytes memory made = abi.encodePacked(EPOCH, operators, new bytes(296 + uint256(operators) * 32));

        assertEq(this.setOf(envelope(made, "")), made);
        lacking = uint16(bound(lacking, 1, made.length + 2));
        vm.expectPartialRevert(EcdsaCertificateLib.CertificateLength.selector);
        this.setOf(slice(envelope(made, ""), 0, made.length + 2 - lacking));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_WeightsMustSumToTheTotal(uint96[5] memory weights_, uint128 total) public {
        bytes memory list;
        uint256 sum = 0;
        for (uint256 i = 0; i < 5; ++i) {
            weights_[i] = uint96(bound(weights_[i], 1, type(uint96).max));
            sum += weights_[i];
            list = abi.encodePacked(list, address(uint160(i) + 1), weights_[i]);
        }
        vm.assume(total != sum);

        this.requireSound(abi.encodePacked(EPOCH, uint16(5), uint128(sum), new bytes(280), list));
        vm.expectRevert(abi.encodeWithSelector(EcdsaCertificateLib.WeightSumMismatch.selector, sum, total));
        this.requireSound(abi.encodePacked(EPOCH, uint16(5), total, new bytes(280), list));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_OneDigestMakesTwoMessages(bytes32 digest, bytes32 other) public pure {
        bytes32 asAlert = EcdsaCertificateLib.messageHash(EcdsaCertificateLib.ECDSA_ALERT_TYPEHASH, digest);
        bytes32 asHandover =
            EcdsaCertificateLib.messageHash(EcdsaCertificateLib.ECDSA_HANDOVER_TYPEHASH, digest);

        assertEq(asAlert, keccak256(abi.encodePacked(ALERT_VOTE, digest)));
        assertEq(asHandover, keccak256(abi.encodePacked(HANDOVER_VOTE, digest)));
        assertNotEq(asAlert, asHandover);
        if (other != digest) {
            assertNotEq(
                asAlert, EcdsaCertificateLib.messageHash(EcdsaCertificateLib.ECDSA_ALERT_TYPEHASH, other)
            );
        }
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {SSTORE2} from "solady/utils/SSTORE2.sol";
import {Test} from "forge-std/Test.sol";
import {Bls12381, G2Point} from "../../src/libraries/Bls12381.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {KeyPages} from "../../src/libraries/KeyPages.sol";
import {PlacementLib} from "../../src/libraries/PlacementLib.sol";
import {Signer} from "../support/Signer.sol";

/// @notice PlacementLib without assembly.
library PlainPlacement {
    function leavesHash(bytes calldata placement, uint256 operators) internal view returns (bytes32) {
        bytes memory leaves = "";
        for (uint256 i = 0; i < operators; ++i) {
            bytes memory leaf = HeaderLib.encodeLeaf(uint16(i), weightOf(placement, i), keyOf(placement, i));
            leaves = bytes.concat(leaves, keccak256(leaf));
        }
        return keccak256(leaves);
    }

    function weigh(bytes calldata placement, bytes calldata indices, uint256 operators)
        internal
        pure
        returns (uint256 weight)
    {
        uint256 atLeast = 0;
        for (uint256 i = 0; i < indices.length / 2; ++i) {
            uint256 index = indexAt(indices, i);
            if (index < atLeast || index >= operators) {
                revert CertificateLib.IndexInvalid(uint16(index), uint16(atLeast), uint16(operators));
            }
            weight += weightOf(placement, index);
            atLeast = index + 1;
        }
    }

    function sumKeys(bytes calldata placement, bytes calldata indices)
        internal
        view
        returns (G2Point memory sum)
    {
        for (uint256 i = 0; i < indices.length / 2; ++i) {
            Bls12381.addG2(sum, Bls12381.loadG2(keyOf(placement, indexAt(indices, i)), 0), 100_000);
        }
    }

    function indexAt(bytes calldata indices, uint256 i) private pure returns (uint256) {
        return uint16(bytes2(indices[2 * i:2 * i + 2]));
    }

    function placeOf(bytes calldata placement, uint256 i) private pure returns (bytes calldata) {
        uint256 at = 1 + uint256(uint8(placement[0])) * 32 + i * 14;
        return placement[at:at + 14];
    }

    function weightOf(bytes calldata placement, uint256 i) private pure returns (uint96) {
        return uint96(bytes12(placeOf(placement, i)[2:14]));
    }

    /// @dev What lies beyond a page's end reads as zero.
    function keyOf(bytes calldata placement, uint256 i) private view returns (bytes memory key) {
        bytes calldata place = placeOf(placement, i);
        uint256 page = uint8(place[0]);
        uint256 from = uint256(uint8(place[1])) * 192;
        bytes32 id = bytes32(placement[1 + page * 32:33 + page * 32]);
        bytes memory found = SSTORE2.read(addressOf(id), from, from + 192);
        key = new bytes(192);
        for (uint256 at = 0; at < found.length; ++at) {
            key[at] = found[at];
        }
    }

    /// @dev EIP-1014 with salt zero.
    function addressOf(bytes32 id) private view returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", address(this), bytes32(0), id)))));
    }
}

contract PlacementTest is Test {
    uint256 internal constant PAGES = 3;
    uint256 internal constant REAL_KEYS = 12;

    bytes32[] internal pages;

    /// @dev Two pages of any bytes, and one of keys.
    function setUp() public {
        pages.push(write(noise(5)));
        pages.push(write(noise(127)));
        bytes memory keys = "";
        for (uint256 i = 0; i < REAL_KEYS; ++i) {
            keys = bytes.concat(keys, Signer.publicKey(Signer.key(i)));
        }
        pages.push(write(keys));
    }

    // ---- assembly against plain Solidity

    function testFuzz_LeavesHashEqualsThePlainOne(uint256 seed, uint256 operators) public view {
        operators = bound(operators, 1, 40);
        bytes memory placement = randomPlacement(seed, operators);

        bytes32 hash = this.leavesHash(placement, operators);

        assertEq(hash, this.plainLeavesHash(placement, operators));
    }

    function test_WhatStandsBehindThePlacesIsNotRead() public view {
        bytes memory placement = randomPlacement(1, 7);
        bytes memory followed = bytes.concat(placement, hex"ffffffffffffffffffffffffffff");

        assertEq(this.leavesHashOfTheFirst(followed, placement.length, 7), this.plainLeavesHash(placement, 7));
    }

    function test_LeavesHashOfTheLargestSetEqualsThePlainOne() public view {
        bytes memory placement = randomPlacement(1, 256);

        bytes32 hash = this.leavesHash(placement, 256);

        assertEq(hash, this.plainLeavesHash(placement, 256));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_WeightEqualsThePlainOne(uint256 seed, uint256 operators, uint256 start, uint256 step)
        public
        view
    {
        operators = bound(operators, 1, 12);
        bytes memory placement = randomPlacement(seed, operators);
        bytes memory indices = "";
        for (uint256 index = start % operators; index < operators; index += bound(step, 1, 7)) {
            indices = bytes.concat(indices, abi.encodePacked(uint16(index)));
        }

        uint256 weight = this.weigh(placement, indices, operators);

        assertEq(weight, this.plainWeigh(placement, indices, operators));
    }

    /// forge-config: default.fuzz.runs = 2000
    /// forge-config: prove.fuzz.runs = 10000
    function testFuzz_AnyIndicesAreTakenOrRefusedAsByThePlainOne(uint16[3] memory drawn, bool isNear)
        public
        view
    {
        bytes memory placement = randomPlacement(7, 8);
        if (isNear) {
            for (uint256 i = 0; i < 3; ++i) {
                drawn[i] %= 10;
            }
        }
        bytes memory indices = abi.encodePacked(drawn[0], drawn[1], drawn[2]);

        (bool ok, bytes memory answer) = call(abi.encodeCall(this.weigh, (placement, indices, 8)));

        (bool plainOk, bytes memory plainAnswer) =
            call(abi.encodeCall(this.plainWeigh, (placement, indices, 8)));
        assertEq(ok, plainOk);
        assertEq(answer, plainAnswer);
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_SumOfKeysEqualsThePlainOne(uint256 seed, uint256 mask) public view {
        bytes memory placement = header(PAGES);
        for (uint256 i = 0; i < 16; ++i) {
            uint256 slot = uint256(keccak256(abi.encode(seed, i))) % REAL_KEYS;
            placement = bytes.concat(placement, abi.encodePacked(uint8(2), uint8(slot), uint96(i)));
        }
        bytes memory indices = "";
        for (uint256 i = 0; i < 16; ++i) {
            if (mask >> i & 1 == 1) indices = bytes.concat(indices, abi.encodePacked(uint16(i)));
        }

        G2Point memory sum = this.sumKeys(placement, indices);

        assertEq(abi.encode(sum), abi.encode(this.plainSumKeys(placement, indices)));
    }

    function test_SumOfKeysLeavesOtherMemoryAsItWas() public view {
        bytes memory placement = header(PAGES);
        for (uint8 i = 0; i < 3; ++i) {
            placement = bytes.concat(placement, abi.encodePacked(uint8(2), i, uint96(1)));
        }

        assertTrue(this.sumKeysBesideOtherMemory(placement, hex"000000010002"));
    }

    function test_RevertIf_KeyIsNoPoint() public {
        bytes memory placement = bytes.concat(header(PAGES), abi.encodePacked(uint8(0), uint8(0), uint96(1)));

        vm.expectRevert(abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.G2_ADD));
        this.sumKeys(placement, hex"0000");
    }

    function test_RevertIf_AdditionReturnsNothing() public {
        bytes memory placement = bytes.concat(header(PAGES), abi.encodePacked(uint8(2), uint8(0), uint96(1)));
        vm.mockCall(Bls12381.G2_ADD, bytes(""), bytes(""));

        vm.expectRevert(abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.G2_ADD));
        this.sumKeys(placement, hex"0000");
    }

    // ---- pages

    function test_RevertIf_KeysAreNoWholePage() public {
        uint256[4] memory lengths = [uint256(0), 191, 193, 128 * 192];
        for (uint256 i = 0; i < lengths.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(KeyPages.KeysLength.selector, lengths[i], 192, 127 * 192));
            this.write(new bytes(lengths[i]));
        }
    }

    /// forge-config: default.fuzz.runs = 32
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_PageIsAStopAndItsKeys(uint256 keys) public {
        bytes memory content = noise(bound(keys, 1, 127));

        bytes32 page = this.write(content);

        assertEq(this.addressOf(page).code, bytes.concat(hex"00", content));
    }

    function test_PageIdIsTheHashOfTheCodeThatCreatesIt() public {
        bytes memory content = noise(2);

        bytes32 page = this.write(content);

        // PUSH2 385, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN, STOP, the keys
        assertEq(page, keccak256(bytes.concat(hex"61018180600a3d393df300", content)));
    }

    function test_SameKeysAreThePageThatIsThere() public {
        bytes memory content = noise(3);
        (bytes32 page, bool written) = KeyPages.write(content);

        (bytes32 again, bool writtenAgain) = KeyPages.write(content);

        assertTrue(written);
        assertFalse(writtenAgain);
        assertEq(again, page);
    }

    // ---- the library from outside, and its twin

    function write(bytes memory keys) public returns (bytes32 page) {
        (page,) = KeyPages.write(keys);
    }

    function addressOf(bytes32 page) external view returns (address) {
        return KeyPages.addressOf(page);
    }

    function leavesHash(bytes calldata placement, uint256 operators) external view returns (bytes32) {
        return PlacementLib.leavesHash(placement, operators);
    }

    function leavesHashOfTheFirst(bytes calldata all, uint256 length, uint256 operators)
        external
        view
        returns (bytes32)
    {
        return PlacementLib.leavesHash(all[:length], operators);
    }

    function sumKeysBesideOtherMemory(bytes calldata placement, bytes calldata indices)
        external
        view
        returns (bool)
    {
        bytes memory other = noise(6);
        bytes32 before = keccak256(other);
        PlacementLib.sumKeys(placement, indices, 100_000);
        return keccak256(other) == before;
    }

    function plainLeavesHash(bytes calldata placement, uint256 operators) external view returns (bytes32) {
        return PlainPlacement.leavesHash(placement, operators);
    }

    function weigh(bytes calldata placement, bytes calldata indices, uint256 operators)
        external
        pure
        returns (uint256)
    {
        return PlacementLib.weigh(placement, indices, operators);
    }

    function plainWeigh(bytes calldata placement, bytes calldata indices, uint256 operators)
        external
        pure
        returns (uint256)
    {
        return PlainPlacement.weigh(placement, indices, operators);
    }

    function sumKeys(bytes calldata placement, bytes calldata indices)
        external
        view
        returns (G2Point memory)
    {
        return PlacementLib.sumKeys(placement, indices, 100_000);
    }

    function plainSumKeys(bytes calldata placement, bytes calldata indices)
        external
        view
        returns (G2Point memory)
    {
        return PlainPlacement.sumKeys(placement, indices);
    }

    // ---- parts

    function call(bytes memory data) private view returns (bool, bytes memory) {
        return address(this).staticcall(data);
    }

    function header(uint256 count) private view returns (bytes memory ids) {
        ids = abi.encodePacked(uint8(count));
        for (uint256 i = 0; i < count; ++i) {
            ids = bytes.concat(ids, pages[i]);
        }
    }

    function noise(uint256 keys) private pure returns (bytes memory) {
        bytes32[] memory words = new bytes32[](keys * 6);
        for (uint256 i = 0; i < words.length; ++i) {
            words[i] = keccak256(abi.encode(keys, i));
        }
        return abi.encodePacked(words);
    }

    /// @dev Any page, any slot, also behind the page's end, any weight.
    function randomPlacement(uint256 seed, uint256 operators) private view returns (bytes memory placement) {
        placement = header(PAGES);
        for (uint256 i = 0; i < operators; ++i) {
            bytes32 word = keccak256(abi.encode(seed, i));
            uint8 page = uint8(uint256(word) % PAGES);
            placement = bytes.concat(placement, abi.encodePacked(page, bytes13(word)));
        }
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Bls12381, G1Point, G2Point} from "../../src/libraries/Bls12381.sol";
import {Signer} from "../support/Signer.sol";

/// @notice The assembly against plain Solidity, and the point arithmetic against scalars.
contract Bls12381Test is Test {
    function padded(bytes calldata raw) external pure returns (bytes memory result) {
        for (uint256 at = 0; at < raw.length; at += 48) {
            result = abi.encodePacked(result, bytes16(0), raw[at:at + 48]);
        }
    }

    function readG1(bytes calldata data, uint256 offset) external pure returns (bytes memory) {
        return abi.encode(Bls12381.readG1(data, offset));
    }

    function readG2(bytes calldata data, uint256 offset) external pure returns (bytes memory) {
        return abi.encode(Bls12381.readG2(data, offset));
    }

    function bytesFrom(uint256 seed, uint256 length) private pure returns (bytes memory data) {
        while (data.length < length) {
            data = abi.encodePacked(data, keccak256(abi.encode(seed, data.length)));
        }
        assembly {
            mstore(data, length)
        }
    }

    function testFuzz_RawPointsArePaddedAsInPlainSolidity(uint256 seed, uint8 offset) public view {
        bytes memory one = bytesFrom(seed, 96);
        bytes memory two = bytesFrom(seed, 192);
        bytes memory prefix = new bytes(offset);

        assertEq(this.readG1(bytes.concat(prefix, one), offset), this.padded(one));
        assertEq(this.readG2(bytes.concat(prefix, two), offset), this.padded(two));
        G2Point memory loaded = Bls12381.loadG2(bytes.concat(prefix, two), offset);
        assertEq(abi.encode(loaded), this.padded(two));
        assertEq(Bls12381.rawG2(loaded), two);
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_SumAndNegativeAreThoseOfTheScalars(uint256 a, uint256 b) public view {
        a = bound(a, 1, Signer.ORDER - 1);
        b = bound(b, 1, Signer.ORDER - 1);
        G2Point memory sum = Bls12381.loadG2(Signer.publicKey(a), 0);
        G2Point memory negative = Bls12381.loadG2(Signer.publicKey(a), 0);

        Bls12381.addG2(sum, Bls12381.loadG2(Signer.publicKey(b), 0), 100_000);
        Bls12381.negate(negative);

        assertEq(Bls12381.rawG2(sum), Signer.publicKey(addmod(a, b, Signer.ORDER)));
        assertEq(Bls12381.rawG2(negative), Signer.publicKey(Signer.ORDER - a));
        Bls12381.addG2(negative, Bls12381.loadG2(Signer.publicKey(a), 0), 100_000);
        assertTrue(Bls12381.isInfinity(negative));
        Bls12381.negate(negative);
        assertTrue(Bls12381.isInfinity(negative), "zero stays zero");
    }

    function addStarved() external view {
        Bls12381.addG2(Bls12381.generatorG2(), Bls12381.generatorG2(), 599);
    }

    function test_RevertIf_PrecompileIsStarvedOrReturnsAnotherSize() public {
        vm.expectRevert(abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.G2_ADD));
        this.addStarved();

        address[4] memory precompiles = [address(0x05), address(0x0b), address(0x0f), address(0x10)];
        for (uint256 i = 0; i < 4; ++i) {
            vm.mockCall(precompiles[i], bytes(""), hex"01");
            vm.expectRevert(abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, precompiles[i]));
            this.verifyGenerator();
            vm.clearMockedCalls();
        }
        this.verifyGenerator();
    }

    function verifyGenerator() external view {
        G1Point memory hash = Bls12381.hashToG1("m", "tag", 100_000);
        Bls12381.isSignatureBy(hash, hash, Bls12381.generatorG2(), 200_000);
    }
}

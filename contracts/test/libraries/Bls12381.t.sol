// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Bls12381, G1Point, G2Point} from "../../src/libraries/Bls12381.sol";
import {Signer} from "../support/Signer.sol";

/// @notice The point arithmetic against scalars, and precompiles that do not answer as they should.
contract Bls12381Test is Test {
    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
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

    function test_InfinityIsAllZerosAndNothingElse() public pure {
        G1Point memory one;
        G2Point memory two;
        assertTrue(Bls12381.isInfinity(one) && Bls12381.isInfinity(two));
        for (uint256 i = 0; i < 8; ++i) {
            uint256[8] memory words;
            words[i] = 1;
            two = abi.decode(abi.encode(words), (G2Point));
            assertFalse(Bls12381.isInfinity(two));
            one = abi.decode(abi.encode(words), (G1Point));
            assertEq(Bls12381.isInfinity(one), i >= 4);
        }
    }

    /// @dev By hand: p - y in two words.
    function test_NegationBorrowsWhereTheLowWordIsLargerThanThePrimes() public pure {
        G2Point memory point;
        (point.y0High, point.y0Low) = (5, Bls12381.P_LOW);
        (point.y1High, point.y1Low) = (5, Bls12381.P_LOW + 1);
        Bls12381.negate(point);
        assertEq(point.y0High, Bls12381.P_HIGH - 5);
        assertEq(point.y0Low, 0);
        assertEq(point.y1High, Bls12381.P_HIGH - 6);
        assertEq(point.y1Low, type(uint256).max);

        (point.y0High, point.y0Low) = (0, 3);
        (point.y1High, point.y1Low) = (4, 0);
        Bls12381.negate(point);
        assertEq(point.y0High, Bls12381.P_HIGH);
        assertEq(point.y0Low, Bls12381.P_LOW - 3);
        assertEq(point.y1High, Bls12381.P_HIGH - 4);
        assertEq(point.y1Low, Bls12381.P_LOW);
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

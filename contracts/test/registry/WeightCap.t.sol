// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {WeightCap} from "../../src/registry/WeightCap.sol";

contract WeightCapTest is Test {
    uint256 private constant BPS = 10_000;

    /// @dev Plain twin: the bound as the text has it, and a search for the largest ceiling that keeps it.
    function plainCeiling(uint256[] memory stakes, uint256 maxShareBps) private pure returns (uint256 low) {
        uint256 high = 0;
        low = type(uint256).max;
        for (uint256 i = 0; i < stakes.length; ++i) {
            if (stakes[i] > high) high = stakes[i];
            if (stakes[i] < low) low = stakes[i];
        }
        if (stakes.length * maxShareBps < BPS) return low;
        while (low < high) {
            uint256 middle = (low + high + 1) / 2;
            if (isWithin(stakes, middle, maxShareBps)) low = middle;
            else high = middle - 1;
        }
    }

    function isWithin(uint256[] memory stakes, uint256 ceiling, uint256 maxShareBps)
        private
        pure
        returns (bool)
    {
        uint256 total = totalOf(stakes, ceiling);
        for (uint256 i = 0; i < stakes.length; ++i) {
            if (weightOf(stakes[i], ceiling) * BPS > maxShareBps * total) return false;
        }
        return true;
    }

    function totalOf(uint256[] memory stakes, uint256 ceiling) private pure returns (uint256 total) {
        for (uint256 i = 0; i < stakes.length; ++i) {
            total += weightOf(stakes[i], ceiling);
        }
    }

    function weightOf(uint256 stake, uint256 ceiling) private pure returns (uint256) {
        return stake < ceiling ? stake : ceiling;
    }

    /// @dev Stakes of very different sizes: equal, near each other, and apart by up to 96 bits.
    function makeStakes(uint256 seed, uint256 count) private pure returns (uint256[] memory stakes) {
        stakes = new uint256[](count);
        uint256 spread = seed % 97;
        for (uint256 i = 0; i < count; ++i) {
            uint256 drawn = uint256(keccak256(abi.encode(seed, i)));
            uint256 bits = spread == 0 ? 0 : drawn % spread;
            stakes[i] = 1 + (drawn >> 8) % (2 ** bits);
        }
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_T20_NobodyExceedsItsShareAndTheCeilingIsTheLargestSuch(
        uint256 seed,
        uint256 count,
        uint256 maxShareBps
    ) public pure {
        uint256[] memory stakes = makeStakes(seed, bound(count, 1, 8));
        maxShareBps = bound(maxShareBps, 1, BPS);

        uint256 ceiling = WeightCap.ceilingOf(stakes, maxShareBps);

        uint256 expected = plainCeiling(stakes, maxShareBps);
        uint256 total = totalOf(stakes, ceiling);
        bool isFeasible = stakes.length * maxShareBps >= BPS;
        for (uint256 i = 0; i < stakes.length; ++i) {
            uint256 weight = weightOf(stakes[i], ceiling);
            // Where nobody is capped, any ceiling above the largest stake says the same.
            assertEq(weight, weightOf(stakes[i], expected), "the plain twin's weight");
            assertGt(weight, 0, "an operator with stake has a weight");
            if (isFeasible) assertLe(weight * BPS, maxShareBps * total, "share, exact after capping");
            else assertEq(weight * stakes.length, total, "too few operators: all the same");
        }
    }

    function test_NobodyIsCappedBelowItsShare() public pure {
        uint256[] memory stakes = list(10, 20, 30, 40);

        assertGe(WeightCap.ceilingOf(stakes, 4000), 40);
    }

    function test_LargestIsCutToItsShareOfWhatRemains() public pure {
        // 25 of 100; 26 would be more than a quarter of 101.
        assertEq(WeightCap.ceilingOf(list(25, 25, 25, 900), 2500), 25);
        // One at the ceiling could have 0.3333 / 0.6667 * 100 = 49, which is less than the next: so two are, with
        // 0.3333 / 0.3334 * 50 = 49.
        assertEq(WeightCap.ceilingOf(list(10, 40, 50, 900), 3333), 49);
    }

    function test_CappingOneCanCapTheNext() public pure {
        // At 40 %: 1000 alone would be 66; then 90 exceeds it too, and both come to 20.
        assertEq(WeightCap.ceilingOf(list(5, 5, 90, 1000), 4000), 20);
    }

    function test_FewerOperatorsThanSharesAllWeighTheLeast() public pure {
        assertEq(WeightCap.ceilingOf(list(7, 20, 30, 40), 2499), 7);
    }

    function test_T35_WorstOrdersOf256AreSortedInBoundedGas() public view {
        uint256[] memory stakes = new uint256[](256);
        uint256 worst = 0;
        for (uint256 shape = 0; shape < 5; ++shape) {
            for (uint256 i = 0; i < 256; ++i) {
                if (shape == 0) stakes[i] = i + 1;
                if (shape == 1) stakes[i] = 256 - i;
                if (shape == 2) stakes[i] = 1 + i % 2;
                if (shape == 3) stakes[i] = 1 + (i < 128 ? i : 255 - i);
                if (shape == 4) stakes[i] = 2 ** (i % 96);
            }
            uint256 before = gasleft();
            WeightCap.ceilingOf(stakes, 40);
            if (before - gasleft() > worst) worst = before - gasleft();
        }
        assertLt(worst, 1_000_000);
    }

    function list(uint256 a, uint256 b, uint256 c, uint256 d) private pure returns (uint256[] memory stakes) {
        stakes = new uint256[](4);
        (stakes[0], stakes[1], stakes[2], stakes[3]) = (a, b, c, d);
    }
}

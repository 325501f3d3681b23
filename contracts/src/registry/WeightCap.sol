// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {LibSort} from "solady/utils/LibSort.sol";

/// @title WeightCap: no operator weighs more than its share
/// @notice An operator's weight is its stake, but at most a ceiling that all share. The ceiling is the largest
///         integer for which nobody's weight exceeds `maxShareBps` of the sum of the weights *after* capping:
///
///             weight_i = min(stake_i, ceiling)        weight_i * 10000 <= maxShareBps * sum(weight)
///
///         Where the operators are too few for that (n * maxShareBps < 10000), the least stake is the ceiling
///         and all weigh the same. Capping only lowers weights, so what an operator weighs is always at stake.
/// @dev With the k largest at the ceiling c and `rest` the sum of the others, the bound for those k reads
///      c * 10000 <= maxShareBps * (k * c + rest), that is c <= maxShareBps * rest / (10000 - k * maxShareBps).
///      Rounding that down is exact: c is an integer. The first k whose c reaches the largest of the others is
///      the answer. It comes before the denominator runs out: for n * maxShareBps >= 10000 the least stake
///      itself satisfies the bound, so the largest ceiling that does lies at or above it, and the argument
///      above holds for the number k < n of stakes that lie above that ceiling.
library WeightCap {
    uint256 internal constant BPS = 10_000;

    /// @notice The most that one operator may weigh.
    /// @param stakes      of all operators of a set, in any order; at least one, each above zero and below 2^96
    /// @param maxShareBps largest share of one operator, 1 to 10000 hundredths of a percent
    function ceilingOf(uint256[] memory stakes, uint256 maxShareBps) internal pure returns (uint256 ceiling) {
        uint256[] memory sorted = LibSort.copy(stakes);
        LibSort.sort(sorted);
        if (sorted.length * maxShareBps < BPS) return sorted[0];

        uint256 rest = 0;
        for (uint256 i = 0; i < sorted.length; ++i) {
            rest += sorted[i];
        }
        for (uint256 capped = 0;; ++capped) {
            ceiling = maxShareBps * rest / (BPS - capped * maxShareBps);
            uint256 largest = sorted[sorted.length - 1 - capped];
            if (largest <= ceiling) return ceiling;
            rest -= largest;
        }
    }
}

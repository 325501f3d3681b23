// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @title TimeBudget: at most so much in every sliding window, remembered in one timestamp
/// @notice A token bucket that holds half the budget and refills by the other half per window. What is kept is
///         `fullAt`, the time at which the bucket is full again. An amount costs `2 * amount * window / budget`
///         seconds of refilling, rounded up; it may be spent while that ends within one window from now.
///
///         Why this is strict. In any window the bucket gives what it held at its start, at most half the
///         budget, and what flowed in, the other half. For amounts that are themselves seconds of one thing
///         that never overlaps itself: one interval may reach into the window from before. It was paid in full
///         at its start, and time flows in at half speed at most (budget <= window), so what was paid for the
///         part before the window covers what flowed in meanwhile.
///
///         Amounts are in any unit, the same as the budget's: seconds of restriction, or wei. `budget` must not
///         be zero, nothing may exceed half of it, and each product must fit in 256 bits.
library TimeBudget {
    /// @notice Takes `amount` out at `time`. Where it is not there, `ok` is false and the result is not to be
    ///         kept.
    function spend(uint256 fullAt, uint256 time, uint256 amount, uint256 budget, uint256 window)
        internal
        pure
        returns (bool ok, uint256 nextFullAt)
    {
        unchecked {
            nextFullAt = FixedPointMathLib.max(fullAt, time)
                + FixedPointMathLib.rawDiv(2 * amount * window + budget - 1, budget);
            ok = nextFullAt <= time + window;
        }
    }

    /// @notice Puts back `amount` that was spent and not used. Rounded down, and never more than full.
    function giveBack(uint256 fullAt, uint256 time, uint256 amount, uint256 budget, uint256 window)
        internal
        pure
        returns (uint256 nextFullAt)
    {
        uint256 back = 2 * amount * window / budget;
        return fullAt > time + back ? fullAt - back : time;
    }

    /// @notice What could be spent at `time`.
    function left(uint256 fullAt, uint256 time, uint256 budget, uint256 window)
        internal
        pure
        returns (uint256)
    {
        if (fullAt <= time) return budget / 2;
        if (fullAt >= time + window) return 0;
        return (time + window - fullAt) * budget / (2 * window);
    }
}

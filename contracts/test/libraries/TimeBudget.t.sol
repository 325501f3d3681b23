// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {TimeBudget} from "../../src/libraries/TimeBudget.sol";

/// @notice TimeBudget beside what it promises: a list of intervals, and every window counted out.
contract TimeBudgetTest is Test {
    struct Interval {
        uint256 from;
        uint256 to;
    }

    Interval[] private intervals;

    // ---- one step

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_SpendsExactlyWhatIsLeft(
        uint256 fullAt,
        uint256 time,
        uint256 amount,
        uint256 budget,
        uint256 window
    ) public pure {
        (budget, window) = boundTerms(budget, window);
        time = bound(time, 1, 2 ** 40);
        fullAt = bound(fullAt, 0, time + window);
        amount = bound(amount, 0, budget / 2);

        (bool ok, uint256 next) = TimeBudget.spend(fullAt, time, amount, budget, window);

        // By fractions, without a division: amount / (budget / 2) of a window, from when it is full or from now.
        uint256 from = fullAt > time ? fullAt : time;
        assertEq(ok, 2 * amount * window <= (time + window - from) * budget);
        assertGe((next - from) * budget, 2 * amount * window);
        assertLt((next - from) * budget, 2 * amount * window + budget);
        assertEq(ok, amount <= TimeBudget.left(fullAt, time, budget, window));
    }

    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_GivesBackNoMoreThanWasSpent(
        uint256 fullAt,
        uint256 time,
        uint256 amount,
        uint256 unused,
        uint256 budget,
        uint256 window
    ) public pure {
        (budget, window) = boundTerms(budget, window);
        time = bound(time, 1, 2 ** 40);
        fullAt = bound(fullAt, 0, time + window);
        amount = bound(amount, 0, TimeBudget.left(fullAt, time, budget, window));
        unused = bound(unused, 0, amount);
        (, uint256 spent) = TimeBudget.spend(fullAt, time, amount, budget, window);

        uint256 back = TimeBudget.giveBack(spent, time, unused, budget, window);

        assertGe(back, fullAt > time ? fullAt : time);
        assertLe(back, spent);
        (, uint256 rest) = TimeBudget.spend(fullAt, time, amount - unused, budget, window);
        assertGe(back, rest, "as if only the rest had been spent, or a second more");
        assertLe(back, rest + 1);
    }

    function test_HalfTheBudgetIsThereAtOnceAndTheOtherHalfFlowsIn() public pure {
        (bool ok, uint256 fullAt) = TimeBudget.spend(0, 1000, 50, 100, 800);
        assertTrue(ok);
        assertEq(fullAt, 1800);

        (ok,) = TimeBudget.spend(fullAt, 1000, 1, 100, 800);
        assertFalse(ok);
        (ok,) = TimeBudget.spend(fullAt, 1015, 1, 100, 800);
        assertFalse(ok, "one comes back in sixteen seconds");
        (ok,) = TimeBudget.spend(fullAt, 1016, 1, 100, 800);
        assertTrue(ok);
        assertEq(TimeBudget.left(fullAt, 1000, 100, 800), 0);
        assertEq(TimeBudget.left(fullAt, 1400, 100, 800), 25);
        assertEq(TimeBudget.left(fullAt, 5000, 100, 800), 50);
    }

    // ---- a life

    /// @dev Restrictions of one action, none overlapping another, begun whenever the budget allows and sometimes
    ///      ended early: no window of that length, wherever it begins, holds more than the budget.
    /// forge-config: default.fuzz.runs = 512
    /// forge-config: prove.fuzz.runs = 10000
    function testFuzz_I5_NoSlidingWindowHoldsMoreThanTheBudget(uint256 budget, uint256 window, uint256 seed)
        public
    {
        (budget, window) = boundTerms(budget, window);
        uint256 duration = bound(uint256(keccak256(abi.encode(seed, "duration"))), 1, budget / 2);
        uint256 time = 1_000_000_000;
        uint256 fullAt = 0;
        delete intervals;
        for (uint256 i = 0; i < 12; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            (bool ok, uint256 next) = TimeBudget.spend(fullAt, time, duration, budget, window);
            if (ok) {
                uint256 length = draw % 4 == 0 ? (draw >> 8) % (duration + 1) : duration;
                intervals.push(Interval(time, time + length));
                time += length;
                fullAt = TimeBudget.giveBack(next, time, duration - length, budget, window);
            }
            // Mostly at the first possible moment, which is where a bound breaks.
            uint256 wait = fullAt + 2 * duration * window / budget + 1;
            wait = wait > time + window ? wait - time - window : 0;
            time += draw % 3 == 0 ? (draw >> 128) % (window + 1) : wait;
        }

        for (uint256 i = 0; i < intervals.length; ++i) {
            // The sum is largest where the window begins or ends with an interval.
            assertLe(restrictedWithin(intervals[i].from, intervals[i].from + window), budget);
            uint256 to = intervals[i].to;
            assertLe(restrictedWithin(to - window, to), budget);
        }
    }

    function restrictedWithin(uint256 from, uint256 to) private view returns (uint256 sum) {
        for (uint256 i = 0; i < intervals.length; ++i) {
            uint256 begin = intervals[i].from > from ? intervals[i].from : from;
            uint256 end = intervals[i].to < to ? intervals[i].to : to;
            if (begin < end) sum += end - begin;
        }
    }

    /// @dev As `setAction` demands: 2 <= budget <= window <= 180 days.
    function boundTerms(uint256 budget, uint256 window) private pure returns (uint256, uint256) {
        window = bound(window, 2, 180 days);
        return (bound(budget, 2, window), window);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TimeBudget} from "../../src/libraries/TimeBudget.sol";

/// @title BudgetCheck: no window of an action's length holds more restriction than its budget
/// @notice I5 by induction, for every budget, window and duration that an owner may set, every time of 40 bits and
///         any number of restrictions. Take one window, (since, since + window]. At each second since then three
///         sentences hold of what TimeBudget keeps (`debt` is how far `fullAt` lies ahead):
///
///           debt <= window
///           2 · window · remaining <= budget · debt                      of the restriction that runs, if any
///           2 · window · committed <= budget · (debt + time - since)     `committed`: seconds of restriction after
///                                                                        `since`, the running one to its end
///
///         At `since` itself the third is the second. The checks let time pass and then begin a restriction or end
///         one early, and ask for all three again. From the first and the third follows what I5 says, and they ask
///         for that, too: until `since + window` no more than `budget` has been committed.
/// @custom:halmos --panic-error-codes *
contract BudgetCheck {
    uint256 private constant MAX_WINDOW = 180 days;

    /// @dev What is known at `time`; see above. `budget` and `window` as `setAction` allows them.
    struct Book {
        uint256 since;
        uint256 time;
        uint256 fullAt;
        uint256 budget;
        uint256 window;
        uint256 remaining;
        uint256 committed;
    }

    /// @notice I5: a restriction that the budget lets begin keeps the three sentences, whenever it begins.
    function check_I5_ARestrictionThatBeginsKeepsTheBudget(Book memory book, uint256 time, uint256 duration)
        external
        pure
    {
        if (!isSound(book) || time < book.time || time >= 2 ** 40) return;
        // One after the other: the guardian begins none while another of the same action runs.
        if (book.remaining > time - book.time || duration > book.budget / 2) return;
        (bool ok, uint256 fullAt) = TimeBudget.spend(book.fullAt, time, duration, book.budget, book.window);
        if (!ok) return;

        (book.time, book.fullAt) = (time, fullAt);
        (book.remaining, book.committed) = (duration, book.committed + duration);
        assertKept(book);
    }

    /// @notice I5: a restriction that ends early keeps them, when what is left of it is given back.
    function check_I5_ARestrictionThatEndsEarlyKeepsTheBudget(Book memory book, uint256 time) external pure {
        if (!isSound(book) || time < book.time || time >= 2 ** 40) return;
        if (book.remaining <= time - book.time) return;
        uint256 unused = book.remaining - (time - book.time);
        if (unused > book.committed) return;
        uint256 fullAt = TimeBudget.giveBack(book.fullAt, time, unused, book.budget, book.window);

        (book.time, book.fullAt) = (time, fullAt);
        (book.remaining, book.committed) = (0, book.committed - unused);
        assertKept(book);
    }

    // ---- internals

    function isSound(Book memory book) private pure returns (bool) {
        return book.budget >= 2 && book.budget <= book.window && book.window <= MAX_WINDOW
            && book.since <= book.time && book.time < 2 ** 40 && book.remaining < 2 ** 24
            && book.committed < 2 ** 40 && book.fullAt <= book.time + book.window && isPaid(book)
            && isCovered(book);
    }

    function assertKept(Book memory book) private pure {
        assert(book.fullAt <= book.time + book.window);
        assert(isPaid(book));
        assert(isCovered(book));
        if (book.time - book.since <= book.window) assert(book.committed <= book.budget);
    }

    function isPaid(Book memory book) private pure returns (bool) {
        unchecked {
            return 2 * book.window * book.remaining <= book.budget * debt(book);
        }
    }

    function isCovered(Book memory book) private pure returns (bool) {
        unchecked {
            return 2 * book.window * book.committed <= book.budget * (debt(book) + book.time - book.since);
        }
    }

    function debt(Book memory book) private pure returns (uint256) {
        return book.fullAt > book.time ? book.fullAt - book.time : 0;
    }
}

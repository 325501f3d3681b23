// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../interfaces/IAdapter.sol";
import {ActionConfig, Level} from "../interfaces/IGuardianEvents.sol";

/// @notice What the owner fixed for one action, in one word; zero: there is no such action.
///
///         bit   0  adapter       160      bit 184  minGas       24
///         bit 160  level           8      bit 208  maxDuration  24
///         bit 168  thresholdBps   16      bit 232  cooldown     24
type Terms is uint256;

/// @notice Where one action stands, in one word. Times are unix seconds.
///
///         bit   0  until          40      bit 160  budgetFullAt 40
///         bit  40  startedAt      40      bit 200  budget       24
///         bit  80  observedAfter  40      bit 224  window       24
///         bit 120  lastEndedAt    40      bit 248  mark          8
type Standing is uint256;

/// @notice One action, in two slots: all that a pause reads beside the policy.
struct Action {
    Terms terms;
    Standing standing;
}

/// @notice What is to be known of a restriction beside its times.
/// @param Grace       it stands in for another that ended
/// @param LeftToOwner it has ended, and the adapter could not lift it
enum Mark {
    None,
    Grace,
    LeftToOwner
}

using TermsLib for Terms global;
using StandingLib for Standing global;

/// @title TermsLib: reads and writes the word of an action's terms
library TermsLib {
    function pack(ActionConfig calldata config) internal pure returns (Terms) {
        return Terms.wrap(
            uint256(uint160(address(config.adapter))) | uint256(config.level) << 160
                | uint256(config.thresholdBps) << 168 | uint256(config.minGas) << 184
                | uint256(config.maxDuration) << 208 | uint256(config.cooldown) << 232
        );
    }

    function isSet(Terms terms) internal pure returns (bool) {
        return Terms.unwrap(terms) != 0;
    }

    function adapter(Terms terms) internal pure returns (IAdapter) {
        return IAdapter(address(uint160(Terms.unwrap(terms))));
    }

    function level(Terms terms) internal pure returns (Level) {
        return Level(uint8(Terms.unwrap(terms) >> 160));
    }

    /// @notice Whether the action only speaks: level Alert. Also true of a word that is not set.
    function isAlertOnly(Terms terms) internal pure returns (bool) {
        return uint8(Terms.unwrap(terms) >> 160) == uint8(Level.Alert);
    }

    function thresholdBps(Terms terms) internal pure returns (uint16) {
        return uint16(Terms.unwrap(terms) >> 168);
    }

    function minGas(Terms terms) internal pure returns (uint24) {
        return uint24(Terms.unwrap(terms) >> 184);
    }

    function maxDuration(Terms terms) internal pure returns (uint24) {
        return uint24(Terms.unwrap(terms) >> 208);
    }

    function cooldown(Terms terms) internal pure returns (uint24) {
        return uint24(Terms.unwrap(terms) >> 232);
    }
}

/// @title StandingLib: reads the word of an action's standing, and makes the next one
/// @dev The caller's times fit into 40 bits: they are the block's own, plus durations of 24 bits.
library StandingLib {
    uint256 private constant TIME = type(uint40).max;
    uint256 private constant OBSERVED_AFTER_BUDGET_WINDOW = TIME << 80 | uint256(type(uint48).max) << 200;
    uint256 private constant BUDGET_WINDOW = uint256(type(uint48).max) << 200;

    function until(Standing standing) internal pure returns (uint256) {
        return Standing.unwrap(standing) & TIME;
    }

    function startedAt(Standing standing) internal pure returns (uint256) {
        return Standing.unwrap(standing) >> 40 & TIME;
    }

    function observedAfter(Standing standing) internal pure returns (uint256) {
        return Standing.unwrap(standing) >> 80 & TIME;
    }

    function lastEndedAt(Standing standing) internal pure returns (uint256) {
        return Standing.unwrap(standing) >> 120 & TIME;
    }

    function budgetFullAt(Standing standing) internal pure returns (uint256) {
        return Standing.unwrap(standing) >> 160 & TIME;
    }

    function budget(Standing standing) internal pure returns (uint24) {
        return uint24(Standing.unwrap(standing) >> 200);
    }

    function window(Standing standing) internal pure returns (uint24) {
        return uint24(Standing.unwrap(standing) >> 224);
    }

    function mark(Standing standing) internal pure returns (Mark) {
        return Mark(uint8(Standing.unwrap(standing) >> 248));
    }

    /// @notice A restriction begins. One that ran out and was not yet cleared ended when it was over.
    function begun(Standing standing, uint256 startedAt_, uint256 until_, uint256 budgetFullAt_, Mark mark_)
        internal
        pure
        returns (Standing)
    {
        uint256 over = until(standing);
        uint256 lastEndedAt_ = over == 0 ? lastEndedAt(standing) : over;
        return Standing.wrap(
            Standing.unwrap(standing) & OBSERVED_AFTER_BUDGET_WINDOW | until_ | startedAt_ << 40
                | lastEndedAt_ << 120 | budgetFullAt_ << 160 | uint256(mark_) << 248
        );
    }

    /// @notice The restriction is over.
    function ended(Standing standing, uint256 endedAt, uint256 observedAfter_, uint256 budgetFullAt_)
        internal
        pure
        returns (Standing)
    {
        return Standing.wrap(
            Standing.unwrap(standing) & BUDGET_WINDOW | startedAt(standing) << 40 | observedAfter_ << 80
                | endedAt << 120 | budgetFullAt_ << 160
        );
    }

    /// @notice The adapter could not lift what has ended.
    function leftToOwner(Standing standing) internal pure returns (Standing) {
        return Standing.wrap(Standing.unwrap(standing) | uint256(Mark.LeftToOwner) << 248);
    }

    /// @notice Only alerts observed later than that may act.
    function observed(Standing standing, uint256 observedAfter_) internal pure returns (Standing) {
        return Standing.wrap(Standing.unwrap(standing) & ~(TIME << 80) | observedAfter_ << 80);
    }

    /// @notice The owner set the terms of an action that is not active.
    function configured(
        Standing standing,
        uint256 observedAfter_,
        uint256 budgetFullAt_,
        uint24 budget_,
        uint24 window_
    ) internal pure returns (Standing) {
        uint256 kept = Standing.unwrap(standing)
            & (TIME << 40 | TIME << 120 | uint256(type(uint8).max) << 248);
        return Standing.wrap(
            kept | observedAfter_ << 80 | budgetFullAt_ << 160 | uint256(budget_) << 200 | uint256(window_)
                << 224
        );
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {ActionConfig, ActionState, Level} from "../../src/interfaces/IGuardian.sol";
import {SymbolicGuardian} from "./SymbolicGuardian.sol";

/// @title TermsCheck: what terms an action can have
contract TermsCheck is SymbolicGuardian {
    /// @notice I1: no owner can set a threshold below its level's floor, or below what the adapter asks for, or one
    ///         that nobody can exceed. Any terms, any adapter, a new action or one that has ended.
    function check_I1_NoThresholdBelowTheFloors(
        bytes32 actionId,
        ActionConfig memory config,
        uint16 adaptersFloor,
        uint256 time
    ) external {
        vm.assume(time >= 2 && time < 2 ** 39);
        vm.warp(time);
        FloorAdapter floorAdapter = new FloorAdapter(address(guardian), adaptersFloor);
        config.adapter = IAdapter(config.level == Level.Alert ? address(0) : address(floorAdapter));

        vm.prank(OWNER);
        guardian.setAction(actionId, config);

        uint256 bps = guardian.action(actionId).thresholdBps;
        Level level = guardian.action(actionId).level;
        assert(bps == config.thresholdBps && level == config.level);
        assert(bps < 10_000);
        assert(3 * bps >= 10_000);
        if (level == Level.Freeze) assert(2 * bps >= 10_000);
        if (level == Level.Pause) assert(3 * bps >= 20_000);
        if (level != Level.Alert) assert(bps >= adaptersFloor);
    }

    /// @notice I5: the terms are such that the budget's arithmetic holds (see BudgetCheck), whatever terms and debts the
    ///         action had before. I4: no alert from before them acts under them.
    function check_I5_TermsFitTheBudget(State memory state, ActionConfig memory config, uint256 time)
        external
    {
        vm.assume(time >= 2 && time < 2 ** 39);
        vm.assume(config.level != Level.Alert && state.level <= uint8(Level.Pause) && state.mark <= 2);
        vm.warp(time);
        state.until = 0;
        store(ACTION, adapter, state);
        config.adapter = adapter;

        vm.prank(OWNER);
        guardian.setAction(ACTION, config);

        ActionConfig memory set = guardian.action(ACTION);
        assert(set.maxDuration != 0 && set.maxDuration <= 30 days && set.cooldown != 0);
        assert(2 * uint256(set.maxDuration) <= set.budget && set.budget <= set.window);
        assert(set.window <= 180 days);
        ActionState memory after_ = guardian.state(ACTION);
        assert(after_.until == 0 && after_.budgetFullAt <= time + set.window);
        assert(after_.observedAfter >= time && after_.observedAfter >= state.observedAfter);
    }
}

/// @title FloorAdapter: asks for a share of the weight of its own
contract FloorAdapter {
    address public immutable guardian;
    uint16 public immutable floorBps;

    constructor(address guardian_, uint16 floorBps_) {
        (guardian, floorBps) = (guardian_, floorBps_);
    }
}

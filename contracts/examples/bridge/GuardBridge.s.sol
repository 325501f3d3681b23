// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Integration} from "../../script/Integration.sol";
import {FixedCallAdapter} from "../../src/adapters/FixedCallAdapter.sol";
import {ActionConfig, IGuardian, Level} from "../../src/interfaces/IGuardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {RootBridge} from "./RootBridge.sol";

/// @title GuardBridge: a bridge whose owner has one function gets a guardian that may hold back payouts
/// @notice The bridge knows an owner and no roles, so the adapter becomes the owner. What the guardian reaches
///         through it is one call: a confirmation delay of `HOLD`. Governance keeps every right: it acts on the
///         bridge with `holder.execute(calldata)`, and takes ownership out in the same way.
contract GuardBridge is Integration {
    /// @notice Name by which the policy calls the action.
    string public constant HOLD_PAYOUTS = "hold-payouts";

    /// @notice Delay that the guardian may set, seconds; far beyond the longest restriction.
    uint256 public constant HOLD = 365 days;

    /// @notice Anyone: creates guardian and adapter. Nothing is allowed to act yet.
    function prepare(GuardianFactory factory, RootBridge bridge, address governance)
        external
        returns (IGuardian guardian, address holder)
    {
        vm.startBroadcast();
        (guardian, holder) = _prepare(factory, bridge, governance);
        vm.stopBroadcast();
    }

    /// @notice Governance: names the action and hands the bridge to the adapter.
    function connect(GuardianFactory factory, RootBridge bridge, address governance) external {
        vm.startBroadcast(governance);
        (IGuardian guardian, address holder) = _prepare(factory, bridge, governance);
        allow(
            guardian,
            HOLD_PAYOUTS,
            ActionConfig({
                adapter: IAdapter(holder),
                level: Level.Pause,
                thresholdBps: 6667,
                minGas: 200_000,
                maxDuration: 24 hours,
                cooldown: 1 hours,
                budget: 72 hours,
                window: 30 days
            })
        );
        if (bridge.owner() != holder) bridge.transferOwnership(holder);
        vm.stopBroadcast();
    }

    function _prepare(GuardianFactory factory, RootBridge bridge, address governance)
        private
        returns (IGuardian guardian, address holder)
    {
        guardian = createGuardian(factory, governance, bytes32(0), bytes32(0));
        holder = deployOwnerCallAdapter(
            guardian,
            address(bridge),
            governance,
            abi.encodeCall(RootBridge.setConfirmationDelay, (HOLD)),
            // the bare selector: puts back the delay that stood there before
            abi.encodePacked(RootBridge.setConfirmationDelay.selector),
            abi.encodeCall(bridge.confirmationDelay, ()),
            FixedCallAdapter.Compare.AtLeast,
            bytes32(HOLD)
        );
    }
}

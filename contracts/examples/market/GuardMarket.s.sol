// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {Integration} from "../../script/Integration.sol";
import {FixedCallAdapter} from "../../src/adapters/FixedCallAdapter.sol";
import {ActionConfig, IGuardian, Level} from "../../src/interfaces/IGuardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {LendingMarket} from "./LendingMarket.sol";

/// @title GuardMarket: a lending market under an AccessManager gets three brakes, one for each rung of the ladder
/// @notice More than a third of the weight may cap borrowing, more than a half may freeze new risk, more than two
///         thirds may pause. Each adapter gets a role of its own, limited to the functions that it calls.
///         `governance` administers the manager, and will own the guardian.
///
///         A function that had no role so far was the administrators' alone; once it has one, they need it too.
///         So governance is granted each role along with the adapter, and can do what it could before.
///
///         To take a right back: `manager.revokeRole(role, adapter)`.
contract GuardMarket is Integration {
    /// @notice Names by which the policy calls the actions.
    string public constant CAP = "cap-borrowing";
    string public constant FREEZE = "freeze";
    string public constant PAUSE = "pause";

    /// @notice Roles in the manager, one for each adapter.
    uint64 public constant CAP_ROLE = uint64(uint256(keccak256("tocsin cap borrowing")));
    uint64 public constant FREEZE_ROLE = uint64(uint256(keccak256("tocsin freeze")));
    uint64 public constant PAUSE_ROLE = uint64(uint256(keccak256("tocsin pause")));

    struct Adapters {
        address cap;
        address freeze;
        address pause;
    }

    /// @notice Anyone: creates guardian and adapters. Nothing is allowed to act yet.
    /// @param borrowCap units of the asset beyond which nothing is lent while the cap is engaged
    function prepare(GuardianFactory factory, LendingMarket market, address governance, uint256 borrowCap)
        external
        returns (IGuardian guardian, Adapters memory adapters)
    {
        vm.startBroadcast();
        (guardian, adapters) = _prepare(factory, market, governance, borrowCap);
        vm.stopBroadcast();
    }

    /// @notice Governance: names the three actions and opens to each adapter the functions that it calls.
    function connect(GuardianFactory factory, LendingMarket market, address governance, uint256 borrowCap)
        external
    {
        AccessManager manager = AccessManager(market.authority());
        vm.startBroadcast(governance);
        (IGuardian guardian, Adapters memory adapters) = _prepare(factory, market, governance, borrowCap);
        allow(guardian, CAP, terms(adapters.cap, Level.Limit, 3334, 24 hours));
        allow(guardian, FREEZE, terms(adapters.freeze, Level.Freeze, 5000, 12 hours));
        allow(guardian, PAUSE, terms(adapters.pause, Level.Pause, 6667, 4 hours));

        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = LendingMarket.setBorrowCap.selector;
        _open(manager, market, selectors, CAP_ROLE, adapters.cap, governance);
        selectors[0] = LendingMarket.setFrozen.selector;
        _open(manager, market, selectors, FREEZE_ROLE, adapters.freeze, governance);
        selectors = new bytes4[](2);
        (selectors[0], selectors[1]) = (LendingMarket.pause.selector, LendingMarket.unpause.selector);
        _open(manager, market, selectors, PAUSE_ROLE, adapters.pause, governance);
        vm.stopBroadcast();
    }

    /// @notice The terms of each action: the milder it is, the fewer have to sign and the longer it may last.
    function terms(address adapter, Level level, uint16 thresholdBps, uint24 maxDuration)
        public
        pure
        returns (ActionConfig memory)
    {
        return ActionConfig({
            adapter: IAdapter(adapter),
            level: level,
            thresholdBps: thresholdBps,
            minGas: 200_000,
            maxDuration: maxDuration,
            cooldown: 1 hours,
            budget: 4 * maxDuration,
            window: 90 days
        });
    }

    function _prepare(GuardianFactory factory, LendingMarket market, address governance, uint256 borrowCap)
        private
        returns (IGuardian guardian, Adapters memory adapters)
    {
        guardian = createGuardian(factory, governance, bytes32(0), bytes32(0));
        adapters.cap = deployAccessManagedAdapter(
            guardian,
            address(market),
            abi.encodeCall(LendingMarket.setBorrowCap, (borrowCap)),
            // the bare selector: puts back the cap that stood there before
            abi.encodePacked(LendingMarket.setBorrowCap.selector),
            abi.encodeCall(market.borrowCap, ()),
            FixedCallAdapter.Compare.AtMost,
            bytes32(borrowCap)
        );
        adapters.freeze = deployAccessManagedAdapter(
            guardian,
            address(market),
            abi.encodeCall(LendingMarket.setFrozen, (true)),
            abi.encodeCall(LendingMarket.setFrozen, (false)),
            abi.encodeCall(market.frozen, ()),
            FixedCallAdapter.Compare.Equal,
            bytes32(uint256(1))
        );
        adapters.pause = deployPausableAdapter(guardian, address(market));
    }

    /// @dev Opens the functions to a role, and gives the role to adapter and governance.
    function _open(
        AccessManager manager,
        LendingMarket market,
        bytes4[] memory selectors,
        uint64 role,
        address adapter,
        address governance
    ) private {
        for (uint256 i = 0; i < selectors.length; ++i) {
            if (manager.getTargetFunctionRole(address(market), selectors[i]) != role) {
                manager.setTargetFunctionRole(address(market), selectors, role);
            }
        }
        _grant(manager, role, adapter);
        _grant(manager, role, governance);
    }

    function _grant(AccessManager manager, uint64 role, address account) private {
        (bool isMember,) = manager.hasRole(role, account);
        // without delay: a brake that waits is none
        if (!isMember) manager.grantRole(role, account, 0);
    }
}

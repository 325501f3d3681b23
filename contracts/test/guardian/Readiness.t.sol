// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {GuardianOffice} from "../../src/guardian/GuardianOffice.sol";
import {ActionConfig, IGuardianEvents, Level, TankTerms} from "../../src/interfaces/IGuardianEvents.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice Whether the guardian could act now.
contract ReadinessTest is Guarded {
    function setUp() public {
        setUpGuardian();
    }

    function expectNotReady(bytes32 reason) private view {
        (bool ok, bytes32 given) = guardian.readiness(PAUSE);
        assertFalse(ok);
        assertEq(given, reason);
    }

    function expectReady(bytes32 warning) private view {
        (bool ok, bytes32 given) = guardian.readiness(PAUSE);
        assertTrue(ok);
        assertEq(given, warning);
    }

    function test_ReadyWhenNothingIsMissing() public view {
        expectReady(bytes32(0));
    }

    function test_UnknownAction() public view {
        (bool ok, bytes32 reason) = guardian.readiness("unknown");
        assertFalse(ok);
        assertEq(reason, bytes32("UNKNOWN_ACTION"));
    }

    function test_DisconnectedOrWithoutAPolicy() public {
        vm.prank(owner);
        guardian.disconnect();
        expectNotReady("POLICY_UNSET");
    }

    function test_NoOperatorSetMayAct() public {
        (, uint64 validUntil) = verifier.currentSet();
        vm.warp(validUntil);
        expectReady(bytes32(0));

        vm.warp(validUntil + 1);
        expectNotReady("NO_VALID_SET");
    }

    function test_TheAdapterLostItsRight() public {
        target.setPauser(address(0));
        expectNotReady("NO_RIGHT_TO_PAUSE");
    }

    function test_TheAdapterDoesNotAnswer() public {
        vm.etch(address(adapter), hex"fe");
        expectNotReady("ADAPTER_FAILED");
        vm.mockCall(address(adapter), abi.encodeCall(IAdapter.ready, ()), abi.encode(uint256(2), "x"));
        (bool ok,) = guardian.readiness(PAUSE);
        assertFalse(ok);
    }

    function test_AnAdapterThatFailsOrSaysTooLittleIsNotReady() public {
        bytes memory question = abi.encodeCall(IAdapter.ready, ());
        vm.mockCallRevert(address(adapter), question, abi.encode(true, bytes32(0)));
        expectNotReady("ADAPTER_FAILED");
        vm.clearMockedCalls();

        vm.mockCall(address(adapter), question, abi.encodePacked(uint256(1), bytes31(0)));
        expectNotReady("ADAPTER_FAILED");
    }

    function test_TheBudgetIsSpent() public {
        ActionConfig memory config = pauseConfig();
        config.budget = 2 * DURATION;
        configure(PAUSE, config);
        deliver(makeAlert());
        expectReady(bytes32(0));

        vm.warp(untilOf(PAUSE));

        expectNotReady("BUDGET_SPENT");
    }

    function test_ReadyFromTheSecondInWhichAWholeRestrictionIsLeft() public {
        ActionConfig memory config = pauseConfig();
        (config.budget, config.window) = (2 * DURATION, 3 * DURATION);
        configure(PAUSE, config);
        expectReady(bytes32(0));
        deliver(makeAlert());

        vm.warp(stateOf(PAUSE).budgetFullAt - 1);
        expectNotReady("BUDGET_SPENT");
        vm.warp(stateOf(PAUSE).budgetFullAt);
        expectReady(bytes32(0));
    }

    function test_TheLastRestrictionWasLeftToTheOwner() public {
        deliver(makeAlert());
        vm.warp(untilOf(PAUSE));
        target.setMode(HostileTarget.Mode.IgnoresPause);
        guardian.expire(PAUSE);
        expectNotReady("LEFT_TO_OWNER");

        target.setMode(HostileTarget.Mode.Honest);
        target.unpause();
        expectReady(bytes32(0));
    }

    function test_WarnsOfATankThatCannotPay() public {
        vm.prank(owner);
        guardian.setTank(TankTerms({maxPerResponse: 10, maxPerWindow: 20, window: 1 days, tipCap: 0}));
        expectReady("TANK_LOW");

        vm.deal(address(guardian), 10);
        expectReady(bytes32(0));
    }

    function test_AnActionThatOnlySpeaksNeedsNoAdapter() public {
        ActionConfig memory tell;
        (tell.level, tell.thresholdBps) = (Level.Alert, 3334);
        configure("tell", tell);

        (bool ok, bytes32 reason) = guardian.readiness("tell");

        assertTrue(ok);
        assertEq(reason, bytes32(0));
    }
}

/// @notice The real thing, undone.
contract DryRunTest is Guarded {
    function setUp() public {
        setUpGuardian();
    }

    function expectDryRun(bool ok, bytes memory reason) private {
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.DryRun.selector, ok, reason));
        guardian.dryRun(PAUSE, "");
        assertFalse(target.isPaused());
        assertEq(untilOf(PAUSE), 0);
    }

    function test_SaysThatTheActionWorksAndLeavesNoTrace() public {
        expectDryRun(true, "");
    }

    /// @dev Cut to 256 bytes, as all that comes from a target.
    function test_SaysWhatTheTargetSaid() public {
        target.setMode(HostileTarget.Mode.Reverts);
        bytes memory targetSaid = abi.encodeWithSignature("Error(string)", "no");
        bytes memory adapterSaid =
            abi.encodeWithSelector(IAdapter.TargetFailed.selector, address(target), targetSaid);
        bytes memory said = abi.encodeWithSelector(IGuardianEvents.ActionFailed.selector, PAUSE, adapterSaid);

        expectDryRun(false, slice(said, 0, 256));
    }

    function test_SaysThatTheEffectIsMissing() public {
        target.setMode(HostileTarget.Mode.IgnoresPause);
        expectDryRun(false, abi.encodeWithSelector(IGuardianEvents.EffectMissing.selector, PAUSE));
    }

    function test_SaysThatTheActionIsUnknown() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardianEvents.DryRun.selector,
                false,
                abi.encodeWithSelector(IGuardianEvents.UnknownAction.selector, bytes32("x"))
            )
        );
        guardian.dryRun("x", "");
    }

    function test_SaysThatTheTargetIsRestrictedAlready() public {
        target.pause();
        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardianEvents.DryRun.selector,
                false,
                abi.encodeWithSelector(IGuardianEvents.AlreadyRestricted.selector, PAUSE)
            )
        );
        guardian.dryRun(PAUSE, "");
    }

    function test_SaysThatParametersAreNotTaken() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardianEvents.DryRun.selector,
                false,
                abi.encodeWithSelector(
                    IGuardianEvents.ActionFailed.selector,
                    PAUSE,
                    abi.encodeWithSelector(IAdapter.ParametersNotTaken.selector, 1)
                )
            )
        );
        guardian.dryRun(PAUSE, hex"00");
    }

    function test_AnActionThatOnlySpeaksAlwaysWorks() public {
        ActionConfig memory tell;
        (tell.level, tell.thresholdBps) = (Level.Alert, 3334);
        configure("tell", tell);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.DryRun.selector, true, ""));
        guardian.dryRun("tell", "");
    }

    function test_TakesNothingFromTheBudgetAndNoPolicy() public {
        uint256 left = guardian.budgetLeft(PAUSE);
        vm.prank(owner);
        guardian.setPolicy(bytes32(0));

        expectDryRun(true, "");

        assertEq(guardian.budgetLeft(PAUSE), left);
    }

    function test_RevertIf_StrangerTriesWithoutTheUndoing() public {
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotSelf.selector, address(this)));
        GuardianOffice(address(guardian)).tryAction(PAUSE, "");
        assertFalse(target.paused());
    }
}

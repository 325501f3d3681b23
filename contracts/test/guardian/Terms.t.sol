// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {
    ActionConfig,
    Dependency,
    IGuardianEvents,
    Level,
    LiftTerms
} from "../../src/interfaces/IGuardianEvents.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {PausableAdapter} from "../../src/adapters/PausableAdapter.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice What an owner may fix, and what not.
contract TermsTest is Guarded {
    function setUp() public {
        setUpGuardian();
    }

    function expectConfigRefused(ActionConfig memory config, bytes memory reason) internal {
        vm.prank(owner);
        vm.expectRevert(reason);
        guardian.setAction(PAUSE, config);
    }

    function test_ActionReadsBackAsSet() public {
        assertEq(abi.encode(guardian.action(PAUSE)), abi.encode(pauseConfig()));
        assertEq(guardian.actionIds().length, 1);
        assertEq(guardian.actionIds()[0], PAUSE);

        ActionConfig memory nothing;
        vm.prank(owner);
        guardian.removeAction(PAUSE);
        assertEq(abi.encode(guardian.action(PAUSE)), abi.encode(nothing));
        assertEq(guardian.actionIds().length, 0);
    }

    // ---- thresholds

    function testFuzz_ThresholdIsHeldAgainstTheLevelsFloor(uint8 level, uint16 bps) public {
        level = uint8(bound(level, 1, 3));
        bps = uint16(bound(bps, 0, 11_000));
        ActionConfig memory config = pauseConfig();
        (config.level, config.thresholdBps) = (Level(level), bps);
        uint16 floor = level == 1 ? 3334 : level == 2 ? 5000 : 6667;

        if (bps < floor) {
            vm.expectRevert(
                abi.encodeWithSelector(IGuardianEvents.ThresholdBelowFloor.selector, level, bps, floor)
            );
        } else if (bps >= 10_000) {
            vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.ThresholdUnreachable.selector, bps, 9999));
        }
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
    }

    /// @dev alert and limit > 1/3, freeze > 1/2, pause > 2/3: one hundredth of a percent below is refused.
    function test_RevertIf_ThresholdIsBelowTheFloor() public {
        uint16[4] memory floors = [uint16(3334), 3334, 5000, 6667];
        for (uint8 level = 0; level <= 3; ++level) {
            ActionConfig memory config;
            if (level != 0) config = pauseConfig();
            config.level = Level(level);
            config.thresholdBps = floors[level] - 1;
            expectConfigRefused(
                config,
                abi.encodeWithSelector(
                    IGuardianEvents.ThresholdBelowFloor.selector, level, config.thresholdBps, floors[level]
                )
            );
            config.thresholdBps = floors[level];
            vm.prank(owner);
            guardian.setAction(PAUSE, config);
        }
    }

    /// @dev An adapter that can do more harm asks for more than its level does.
    function test_RevertIf_ThresholdIsBelowTheAdaptersFloor() public {
        vm.mockCall(address(adapter), abi.encodeCall(IAdapter.floorBps, ()), abi.encode(9000));
        ActionConfig memory config = pauseConfig();
        config.thresholdBps = 8999;

        expectConfigRefused(
            config, abi.encodeWithSelector(IGuardianEvents.ThresholdBelowFloor.selector, 3, 8999, 9000)
        );
        config.thresholdBps = 9000;
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
    }

    function test_RevertIf_ThresholdIsAllOfTheWeight() public {
        ActionConfig memory config = pauseConfig();
        config.thresholdBps = 10_000;
        expectConfigRefused(
            config, abi.encodeWithSelector(IGuardianEvents.ThresholdUnreachable.selector, 10_000, 9999)
        );

        config.thresholdBps = 9999;
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
    }

    // ---- time and gas

    function test_RevertIf_DurationIsZeroOrTooLong() public {
        ActionConfig memory config = pauseConfig();
        config.maxDuration = 0;
        expectConfigRefused(
            config, abi.encodeWithSelector(IGuardianEvents.DurationInvalid.selector, 0, 30 days)
        );
        config.maxDuration = 30 days + 1;
        expectConfigRefused(
            config, abi.encodeWithSelector(IGuardianEvents.DurationInvalid.selector, 30 days + 1, 30 days)
        );
        (config.maxDuration, config.budget, config.window) = (30 days, 60 days, 60 days);
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
    }

    function expectBudgetRefused(uint24 budget, uint24 window) private {
        ActionConfig memory config = pauseConfig();
        (config.budget, config.window) = (budget, window);
        expectConfigRefused(
            config,
            abi.encodeWithSelector(IGuardianEvents.BudgetInvalid.selector, budget, window, DURATION, 180 days)
        );
    }

    function test_RevertIf_BudgetHoldsNoRestrictionOrMoreThanTheWindow() public {
        expectBudgetRefused(2 * DURATION - 1, WINDOW);
        expectBudgetRefused(WINDOW + 1, WINDOW);
        expectBudgetRefused(BUDGET, 180 days + 1);
        expectBudgetRefused(0, 0);
        ActionConfig memory config = pauseConfig();
        (config.budget, config.window) = (2 * DURATION, 2 * DURATION);
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
        (config.budget, config.window) = (2 * DURATION, 180 days);
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
    }

    function test_RevertIf_CooldownIsZero() public {
        ActionConfig memory config = pauseConfig();
        config.cooldown = 0;
        expectConfigRefused(config, abi.encodeWithSelector(IGuardianEvents.CooldownZero.selector));
    }

    function test_RevertIf_MinGasIsTooLow() public {
        ActionConfig memory config = pauseConfig();
        config.minGas = 49_999;
        expectConfigRefused(
            config, abi.encodeWithSelector(IGuardianEvents.MinGasTooLow.selector, 49_999, 50_000)
        );
        config.minGas = 50_000;
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
    }

    // ---- whose adapter

    function test_RevertIf_AdapterObeysAnotherGuardian() public {
        ActionConfig memory config = pauseConfig();
        config.adapter = IAdapter(address(new PausableAdapter(address(this), address(target))));
        expectConfigRefused(
            config, abi.encodeWithSelector(IGuardianEvents.AdapterNotOurs.selector, address(config.adapter))
        );
    }

    // ---- while active

    function test_RevertIf_ActiveActionIsChangedOrRemoved() public {
        deliver(makeAlert());
        bytes memory reason =
            abi.encodeWithSelector(IGuardianEvents.ActionActive.selector, PAUSE, untilOf(PAUSE));
        vm.startPrank(owner);

        vm.expectRevert(reason);
        guardian.setAction(PAUSE, pauseConfig());
        vm.expectRevert(reason);
        guardian.removeAction(PAUSE);
    }

    function test_RemovalDoesNotShortenTheCooldownOrRefillTheBudget() public {
        deliver(makeAlert());
        advance(1 hours);
        vm.startPrank(owner);
        guardian.lift(PAUSE);
        bytes memory before = abi.encode(stateOf(PAUSE));
        guardian.removeAction(PAUSE);
        guardian.setAction(PAUSE, pauseConfig());

        assertEq(abi.encode(stateOf(PAUSE)), before);
    }

    // ---- the list

    function test_RevertIf_TooManyActions() public {
        for (uint256 i = 1; i < 32; ++i) {
            vm.prank(owner);
            guardian.setAction(bytes32(i), pauseConfig());
        }
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.TooManyActions.selector, 32));
        guardian.setAction(bytes32(uint256(32)), pauseConfig());

        // Changing one is not adding one; removing one makes room.
        guardian.setAction(PAUSE, pauseConfig());
        guardian.removeAction(bytes32(uint256(7)));
        guardian.setAction(bytes32(uint256(32)), pauseConfig());
        assertEq(guardian.actionIds().length, 32);
    }

    function test_RemovalForgetsOneActionAndItsColdTerms() public {
        bytes32 limit = keccak256("limit");
        addAction(limit, Level.Limit, 3334);
        vm.startPrank(owner);
        guardian.setLiftTerms(PAUSE, LiftTerms({minHold: 1, graceAction: limit, graceSeconds: 1}));
        guardian.setPredecessor(PAUSE, limit);

        guardian.removeAction(PAUSE);

        bytes32[] memory ids = guardian.actionIds();
        assertEq(ids.length, 1);
        assertEq(ids[0], limit);
        assertEq(guardian.predecessorOf(PAUSE), bytes32(0));
        assertEq(guardian.liftTerms(PAUSE).graceAction, bytes32(0));
        guardian.setAction(PAUSE, pauseConfig());
        assertEq(guardian.liftTerms(PAUSE).minHold, type(uint32).max, "as if it had never been there");
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.UnknownAction.selector, bytes32("x")));
        guardian.removeAction("x");
    }

    // ---- lift terms

    function expectGraceRefused(bytes32 graceAction, uint24 graceSeconds, uint24 max) private {
        vm.prank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(IGuardianEvents.GraceInvalid.selector, graceAction, graceSeconds, max)
        );
        guardian.setLiftTerms(
            PAUSE, LiftTerms({minHold: 0, graceAction: graceAction, graceSeconds: graceSeconds})
        );
    }

    function test_RevertIf_GraceCouldNotBeSet() public {
        bytes32 limit = keccak256("limit");
        addAction(limit, Level.Limit, 3334);
        ActionConfig memory tell;
        (tell.level, tell.thresholdBps) = (Level.Alert, 3334);
        configure("tell", tell);

        expectGraceRefused("unknown", 1, 0);
        expectGraceRefused("tell", 1, 0);
        expectGraceRefused(PAUSE, 1, DURATION);
        expectGraceRefused(limit, 0, DURATION);
        expectGraceRefused(bytes32(0), 1, 0);
        expectGraceRefused(limit, DURATION + 1, DURATION);
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.UnknownAction.selector, bytes32("x")));
        guardian.setLiftTerms("x", LiftTerms({minHold: 0, graceAction: 0, graceSeconds: 0}));
    }

    function test_LiftTermsReadBackAsSet() public {
        bytes32 limit = keccak256("limit");
        addAction(limit, Level.Limit, 3334);
        LiftTerms memory terms = LiftTerms({minHold: 5, graceAction: limit, graceSeconds: DURATION});

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.LiftTermsSet(PAUSE, terms);
        vm.prank(owner);
        guardian.setLiftTerms(PAUSE, terms);

        assertEq(abi.encode(guardian.liftTerms(PAUSE)), abi.encode(terms));
    }

    // ---- who

    function test_RevertIf_StrangerConfigures() public {
        bytes[7] memory calls = [
            abi.encodeCall(guardian.setPolicy, ("x")),
            abi.encodeCall(guardian.setMaxCauseDepth, (1)),
            abi.encodeCall(guardian.removeAction, (PAUSE)),
            abi.encodeCall(guardian.setAction, (PAUSE, pauseConfig())),
            abi.encodeCall(
                guardian.setLiftTerms, (PAUSE, LiftTerms({minHold: 0, graceAction: 0, graceSeconds: 0}))
            ),
            abi.encodeCall(guardian.setPredecessor, (PAUSE, bytes32(0))),
            abi.encodeCall(guardian.setDependencies, (new Dependency[](0)))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok, bytes memory reason) = address(guardian).call(calls[i]);
            assertFalse(ok);
            assertEq(bytes4(reason), Ownable.Unauthorized.selector);
        }
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ActionConfig, Dependency, IGuardianEvents, Level} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Refusing} from "./Refusal.t.sol";

/// @notice Alerts that follow from another guardian's response.
contract ContagionTest is Refusing {
    bytes32 private constant LIMIT = keccak256("limit");
    bytes32 private constant CAUSE = keccak256("another guardian's response");

    HostileTarget private limited;

    function setUp() public {
        setUpGuardian();
        limited = addAction(LIMIT, Level.Limit, 3334);
    }

    function induced(uint8 depth) private view returns (Alert memory alert) {
        alert = makeAlert();
        (alert.causeDigest, alert.causeDepth) = (CAUSE, depth);
    }

    function dependOn(uint256 chainId, address other, uint8 depth) private {
        Dependency[] memory dependencies = new Dependency[](1);
        dependencies[0] = Dependency({chainId: chainId, guardian: other});
        vm.startPrank(owner);
        guardian.setDependencies(dependencies);
        guardian.setMaxCauseDepth(depth);
        vm.stopPrank();
    }

    function nameLimit() private {
        vm.prank(owner);
        guardian.setPredecessor(PAUSE, LIMIT);
    }

    function test_DependenciesArePublished() public {
        vm.expectEmit(address(guardian));
        Dependency[] memory expected = new Dependency[](1);
        expected[0] = Dependency({chainId: 10, guardian: address(0xABC)});
        emit IGuardianEvents.DependenciesSet(expected);
        dependOn(10, address(0xABC), 2);

        Dependency[] memory given = guardian.dependencies();
        assertEq(abi.encode(given), abi.encode(expected));
        assertEq(guardian.maxCauseDepth(), 2);
        dependOn(1, address(0xDEF), 1);
        assertEq(guardian.dependencies().length, 1);
    }

    function test_InducedLimitActs() public {
        dependOn(10, address(0xABC), 1);

        deliver(induced(1), LIMIT);

        assertTrue(limited.paused());
    }

    function test_RevertIf_NothingWasDeclared() public {
        vm.prank(owner);
        guardian.setMaxCauseDepth(1);

        expectSignedRefused(induced(1), abi.encodeWithSelector(IGuardianEvents.NoDependencies.selector));
    }

    function test_RevertIf_CauseIsTooDeep() public {
        dependOn(10, address(0xABC), 1);

        expectSignedRefused(induced(2), abi.encodeWithSelector(IGuardianEvents.CauseTooDeep.selector, 2, 1));
    }

    function test_RevertIf_CauseHasNoDepthOrDepthNoCause() public {
        dependOn(10, address(0xABC), 1);
        Alert memory alert = induced(0);
        expectSignedRefused(alert, abi.encodeWithSelector(IGuardianEvents.CauseInvalid.selector, CAUSE, 0));
        // One bit of it is enough, and be it the first or the last.
        for (uint256 bit = 0; bit < 256; bit += 255) {
            alert.causeDigest = bytes32(uint256(1) << bit);
            expectSignedRefused(
                alert, abi.encodeWithSelector(IGuardianEvents.CauseInvalid.selector, alert.causeDigest, 0)
            );
        }
        alert = induced(1);
        alert.causeDigest = bytes32(0);
        expectSignedRefused(
            alert, abi.encodeWithSelector(IGuardianEvents.CauseInvalid.selector, bytes32(0), 1)
        );
    }

    function test_RevertIf_InducedPauseComesBeforeTheLimit() public {
        dependOn(10, address(0xABC), 1);
        bytes4 refusal = IGuardianEvents.PredecessorNotInForce.selector;

        // None named, then named and not in force.
        expectSignedRefused(induced(1), abi.encodeWithSelector(refusal, PAUSE, bytes32(0)));
        nameLimit();
        expectSignedRefused(induced(1), abi.encodeWithSelector(refusal, PAUSE, LIMIT));
    }

    function test_InducedPauseFollowsTheLimit() public {
        dependOn(10, address(0xABC), 1);
        nameLimit();
        deliver(induced(1), LIMIT);

        deliver(induced(1));

        assertTrue(target.paused());
    }

    function test_RevertIf_TheLimitRanOut() public {
        dependOn(10, address(0xABC), 1);
        nameLimit();
        deliver(induced(1), LIMIT);
        vm.warp(untilOf(LIMIT) - 1);
        advance(1);

        expectSignedRefused(
            induced(1), abi.encodeWithSelector(IGuardianEvents.PredecessorNotInForce.selector, PAUSE, LIMIT)
        );
    }

    /// @dev In the book and not on the target is not in force.
    function test_RevertIf_GovernanceOpenedTheLimitedTarget() public {
        dependOn(10, address(0xABC), 1);
        nameLimit();
        deliver(induced(1), LIMIT);
        limited.unpause();

        expectSignedRefused(
            induced(1), abi.encodeWithSelector(IGuardianEvents.PredecessorNotInForce.selector, PAUSE, LIMIT)
        );
    }

    function test_RevertIf_TheNamedLimitBecameSomethingElse() public {
        dependOn(10, address(0xABC), 1);
        nameLimit();
        ActionConfig memory config = guardian.action(LIMIT);
        (config.level, config.thresholdBps) = (Level.Freeze, 5000);
        configure(LIMIT, config);
        deliver(makeAlert(), LIMIT);

        expectSignedRefused(
            induced(1), abi.encodeWithSelector(IGuardianEvents.PredecessorNotInForce.selector, PAUSE, LIMIT)
        );
    }

    function test_OwnFindingsNeedNoPredecessor() public {
        dependOn(10, address(0xABC), 1);
        nameLimit();

        deliver(makeAlert());

        assertTrue(target.paused());
    }

    function test_RevertIf_PredecessorIsNoLimitOrUnknown() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.PredecessorInvalid.selector, PAUSE));
        guardian.setPredecessor(LIMIT, PAUSE);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.PredecessorInvalid.selector, bytes32("x")));
        guardian.setPredecessor(PAUSE, "x");
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.UnknownAction.selector, bytes32("x")));
        guardian.setPredecessor("x", LIMIT);
        guardian.setPredecessor(PAUSE, LIMIT);
        assertEq(guardian.predecessorOf(PAUSE), LIMIT);
        guardian.setPredecessor(PAUSE, bytes32(0));
        assertEq(guardian.predecessorOf(PAUSE), bytes32(0));
    }

    function test_RevertIf_TooManyDependencies() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.TooManyDependencies.selector, 33, 32));
        guardian.setDependencies(new Dependency[](33));
        guardian.setDependencies(new Dependency[](32));
        guardian.setDependencies(new Dependency[](0));
        assertEq(guardian.dependencies().length, 0);
    }
}

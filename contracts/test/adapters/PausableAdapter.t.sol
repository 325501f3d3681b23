// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {LendingPool} from "../../demo/LendingPool.sol";
import {PausableTarget} from "../../demo/PausableTarget.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {PausableAdapter} from "../../src/adapters/PausableAdapter.sol";
import {TargetAdapter} from "../../src/adapters/TargetAdapter.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

contract PausableAdapterTest is AdapterProperties {
    PausableTarget private pausable;

    function setUp() public {
        pausable = new PausableTarget(governance);
        target = address(pausable);
        adapter = construct(guardian, target);
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new PausableAdapter(guardian_, target_);
    }

    function grantRight() internal override {
        grant(address(adapter));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NO_RIGHT_TO_PAUSE";
    }

    function isRestricted() internal view override returns (bool) {
        return pausable.paused();
    }

    function liftByGovernance() internal override {
        grant(governance);
        vm.prank(governance);
        pausable.unpause();
    }

    function grant(address to) private {
        bytes32 role = pausable.PAUSER_ROLE();
        vm.prank(governance);
        pausable.grantRole(role, to);
    }

    function test_ReadyWhenTheTargetNamesItItsPauser() public {
        HostileTarget named = new HostileTarget();
        adapter = construct(guardian, address(named));
        expectReady("NO_RIGHT_TO_PAUSE");

        named.setPauser(address(adapter));
        expectReady(bytes32(0));
    }

    function test_NotReadyWhenTheTargetDoesNotTellWhetherItIsPaused() public {
        adapter = construct(guardian, address(new DemoToken("T", "T")));
        expectReady("PAUSED_NOT_READABLE");
    }

    /// @dev Neither the word that a failure carries nor 31 bytes are an answer.
    function test_OnlyAWholeWordOfACallThatSucceedsIsAnAnswer() public {
        grantRight();
        bytes memory unreadable = abi.encodeWithSelector(TargetAdapter.TargetUnreadable.selector, target);
        vm.mockCallRevert(target, abi.encodeCall(pausable.paused, ()), abi.encode(1));
        expectReady("PAUSED_NOT_READABLE");
        vm.expectRevert(unreadable);
        adapter.engaged();
        vm.clearMockedCalls();

        vm.mockCall(target, abi.encodeCall(pausable.paused, ()), new bytes(31));
        expectReady("PAUSED_NOT_READABLE");
        vm.expectRevert(unreadable);
        adapter.engaged();
    }

    function test_TwoIsNeitherPausedNorUnpaused() public {
        grantRight();
        vm.mockCall(target, abi.encodeCall(pausable.paused, ()), abi.encode(2));
        expectReady("PAUSED_NOT_READABLE");
        vm.expectRevert(abi.encodeWithSelector(TargetAdapter.TargetUnreadable.selector, target));
        adapter.engaged();

        vm.mockCall(target, abi.encodeCall(pausable.paused, ()), abi.encode(1));
        expectReady(bytes32(0));
        assertTrue(adapter.engaged());
    }

    /// @dev A target that is locked while somebody calls through it would otherwise be left paused by whoever asks.
    function test_RevertIf_TheTargetRefusesTheRelease() public {
        HostileTarget hostile = new HostileTarget();
        adapter = construct(guardian, address(hostile));
        engage();
        hostile.setMode(HostileTarget.Mode.Reverts);

        vm.prank(guardian);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        adapter.release();
    }
}

contract PausableAdapterUnderAnAccessManagerTest is AdapterProperties {
    uint64 private constant ROLE = 7;

    AccessManager private manager;
    LendingPool private pool;

    function setUp() public {
        manager = new AccessManager(governance);
        DemoToken token = new DemoToken("T", "T");
        pool = new LendingPool(address(manager), token, token, 1e18);
        target = address(pool);
        adapter = construct(guardian, target);
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new PausableAdapter(guardian_, target_);
    }

    function grantRight() internal override {
        allow(LendingPool.pause.selector);
        allow(LendingPool.unpause.selector);
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NO_RIGHT_TO_PAUSE";
    }

    function isRestricted() internal view override returns (bool) {
        return pool.paused();
    }

    function liftByGovernance() internal override {
        vm.startPrank(governance);
        manager.grantRole(ROLE, governance, 0);
        pool.unpause();
        vm.stopPrank();
    }

    function allow(bytes4 selector) private {
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = selector;
        vm.startPrank(governance);
        manager.setTargetFunctionRole(target, selectors, ROLE);
        manager.grantRole(ROLE, address(adapter), 0);
        vm.stopPrank();
    }

    function test_WithoutTheRightToUnpauseTheOwnerLifts() public {
        allow(LendingPool.pause.selector);
        expectReady("NO_RIGHT_TO_UNPAUSE");
        engage();

        assertFalse(release());
        assertTrue(pool.paused());
    }

    function test_NotReadyWithARoleThatHasADelay() public {
        grantRight();
        vm.prank(governance);
        manager.grantRole(ROLE, address(adapter), 1 days);
        skip(10 days);

        expectReady("NO_RIGHT_TO_PAUSE");
    }
}

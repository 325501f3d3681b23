// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {IPausableFor, PauseForAdapter} from "../../src/adapters/PauseForAdapter.sol";
import {ManagedPausableFor, PausableFor} from "../mocks/PausableFor.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

contract PauseForAdapterTest is AdapterProperties {
    uint32 private constant PAUSE = 6 hours;

    PausableFor private pausable;

    function setUp() public {
        vm.warp(1_800_000_000);
        pausable = new PausableFor(governance);
        target = address(pausable);
        adapter = construct(guardian, target);
        grant(pausable.RESUME_ROLE(), governance);
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new PauseForAdapter(guardian_, target_, PAUSE);
    }

    function grantRight() internal override {
        grant(pausable.PAUSE_ROLE(), address(adapter));
        grant(pausable.RESUME_ROLE(), address(adapter));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NO_RIGHT_TO_PAUSE";
    }

    function isRestricted() internal view override returns (bool) {
        return pausable.isPaused();
    }

    function liftByGovernance() internal override {
        vm.prank(governance);
        pausable.resume();
    }

    function grant(bytes32 role, address to) private {
        vm.prank(governance);
        pausable.grantRole(role, to);
    }

    function test_PauseEndsByItselfAfterItsDuration() public {
        grantRight();
        engage();

        skip(PAUSE - 1);
        assertTrue(adapter.engaged());
        skip(1);
        assertFalse(adapter.engaged());
    }

    function test_WithoutTheRightToResumeThePauseRunsOut() public {
        grant(pausable.PAUSE_ROLE(), address(adapter));
        expectReady(bytes32(0));
        engage();

        assertFalse(release());
        assertTrue(pausable.isPaused());
        skip(PAUSE);
        assertFalse(adapter.engaged());
    }

    function testFuzz_APauseThatOutlastsOursIsNotLifted(uint256 governanceSeconds) public {
        governanceSeconds = bound(governanceSeconds, 1, type(uint64).max);
        grantRight();
        engage();
        skip(PAUSE);
        grant(pausable.PAUSE_ROLE(), governance);
        vm.prank(governance);
        pausable.pauseFor(governanceSeconds);

        assertFalse(release());
        assertTrue(pausable.isPaused());
    }

    function test_NotReadyWhenTheTargetDoesNotTellWhetherItIsPaused() public {
        adapter = construct(guardian, address(new DemoToken("T", "T")));
        expectReady("PAUSED_NOT_READABLE");
    }

    function test_RightsMayComeFromAnAccessManager() public {
        AccessManager manager = new AccessManager(address(this));
        ManagedPausableFor managed = new ManagedPausableFor(address(manager));
        adapter = construct(guardian, address(managed));
        expectReady("NO_RIGHT_TO_PAUSE");
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = IPausableFor.pauseFor.selector;
        manager.setTargetFunctionRole(address(managed), selectors, 7);
        manager.grantRole(7, address(adapter), 0);

        expectReady(bytes32(0));
        engage();
        assertFalse(release());
        selectors[0] = IPausableFor.resume.selector;
        manager.setTargetFunctionRole(address(managed), selectors, 7);
        assertTrue(release());
        assertFalse(managed.isPaused());
    }

    function test_RevertIf_ThePauseLastsNotAtAllOrTooLong() public {
        uint32 max = 30 days;

        vm.expectRevert(abi.encodeWithSelector(PauseForAdapter.PauseInvalid.selector, 0, max));
        this.constructWith(0);
        vm.expectRevert(abi.encodeWithSelector(PauseForAdapter.PauseInvalid.selector, max + 1, max));
        this.constructWith(max + 1);
        assertEq(this.constructWith(max).pauseSeconds(), max);
    }

    function constructWith(uint32 pauseSeconds) external returns (PauseForAdapter) {
        return new PauseForAdapter(guardian, target, pauseSeconds);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {LendingPool} from "../../demo/LendingPool.sol";
import {PausableTarget} from "../../demo/PausableTarget.sol";
import {Vault} from "../../demo/Vault.sol";
import {AccessManagedAdapter} from "../../src/adapters/AccessManagedAdapter.sol";
import {FixedCallAdapter} from "../../src/adapters/FixedCallAdapter.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {OwnerCallAdapter} from "../../src/adapters/OwnerCallAdapter.sol";
import {PausableAdapter} from "../../src/adapters/PausableAdapter.sol";
import {TargetAdapter} from "../../src/adapters/TargetAdapter.sol";
import {Bridge} from "../mocks/Bridge.sol";

abstract contract Adapted is Test {
    address internal guardian = makeAddr("guardian");
    address internal governance = makeAddr("governance");

    function expectReady(IAdapter adapter, bytes32 expected) internal view {
        (bool ok, bytes32 reason) = adapter.ready();
        assertEq(ok, expected == bytes32(0));
        assertEq(reason, expected);
    }

    function expectOnlyGuardian(IAdapter adapter) internal {
        bytes memory reason = abi.encodeWithSelector(IAdapter.NotGuardian.selector, address(this), guardian);
        vm.expectRevert(reason);
        adapter.engage("");
        vm.expectRevert(reason);
        adapter.release();
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IAdapter.ParametersNotTaken.selector, 1));
        adapter.engage(hex"00");
    }
}

contract PausableAdapterTest is Adapted {
    PausableTarget private target;
    PausableAdapter private adapter;

    function setUp() public {
        target = new PausableTarget(governance);
        adapter = new PausableAdapter(guardian, address(target));
    }

    function grant() private {
        bytes32 role = target.PAUSER_ROLE();
        vm.prank(governance);
        target.grantRole(role, address(adapter));
    }

    function test_PausesAndUnpauses() public {
        grant();
        vm.startPrank(guardian);

        adapter.engage("");
        assertTrue(target.paused());
        assertTrue(adapter.engaged());
        assertTrue(adapter.release());
        assertFalse(target.paused());
        assertFalse(adapter.engaged());
    }

    function test_RevertIf_NotItsGuardian() public {
        expectOnlyGuardian(adapter);
    }

    function test_RevertIf_RightIsMissing() public {
        expectReady(adapter, "NO_RIGHT_TO_PAUSE");
        vm.prank(guardian);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        adapter.engage("");
        grant();
        expectReady(adapter, bytes32(0));
    }

    function test_ReadinessThroughAnAccessManager() public {
        AccessManager manager = new AccessManager(address(this));
        DemoToken token = new DemoToken("T", "T");
        LendingPool pool = new LendingPool(address(manager), token, token, 1e18);
        adapter = new PausableAdapter(guardian, address(pool));
        bytes4[] memory selectors = new bytes4[](1);

        expectReady(adapter, "NO_RIGHT_TO_PAUSE");
        selectors[0] = LendingPool.pause.selector;
        manager.setTargetFunctionRole(address(pool), selectors, 7);
        manager.grantRole(7, address(adapter), 0);
        expectReady(adapter, "NO_RIGHT_TO_UNPAUSE");
        selectors[0] = LendingPool.unpause.selector;
        manager.setTargetFunctionRole(address(pool), selectors, 7);
        expectReady(adapter, bytes32(0));
        // A role with a delay could not act at once.
        manager.grantRole(7, address(adapter), 1 days);
        vm.warp(block.timestamp + 10 days);
        expectReady(adapter, "NO_RIGHT_TO_PAUSE");
    }

    function test_ReadinessOfATargetThatIsNoPausable() public {
        adapter = new PausableAdapter(guardian, address(new DemoToken("T", "T")));
        expectReady(adapter, "PAUSED_NOT_READABLE");
    }

    function test_RevertIf_ConstructedForNobodyOrNothing() public {
        vm.expectRevert(TargetAdapter.GuardianZero.selector);
        new PausableAdapter(address(0), address(target));
        vm.expectRevert(abi.encodeWithSelector(TargetAdapter.TargetHasNoCode.selector, governance));
        new PausableAdapter(guardian, governance);
    }
}

contract AccessManagedAdapterTest is Adapted {
    uint64 private constant ROLE = 7;
    uint256 private constant LIMIT = 100e18;

    AccessManager private manager;
    Vault private vault;
    AccessManagedAdapter private adapter;

    function setUp() public {
        manager = new AccessManager(governance);
        vault = new Vault(address(manager), new DemoToken("T", "T"), "Vault", "V");
        adapter = newAdapter(abi.encodePacked(Vault.setWithdrawLimit.selector));
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Vault.setWithdrawLimit.selector;
        vm.startPrank(governance);
        manager.setTargetFunctionRole(address(vault), selectors, ROLE);
        manager.grantRole(ROLE, address(adapter), 0);
        manager.grantRole(ROLE, governance, 0);
        vm.stopPrank();
    }

    function newAdapter(bytes memory releaseCall) private returns (AccessManagedAdapter) {
        return new AccessManagedAdapter(
            guardian,
            address(vault),
            abi.encodeCall(Vault.setWithdrawLimit, (LIMIT)),
            releaseCall,
            abi.encodeWithSignature("withdrawLimit()"),
            FixedCallAdapter.Compare.AtMost,
            bytes32(LIMIT)
        );
    }

    function setLimit(uint256 limit) private {
        vm.prank(governance);
        vault.setWithdrawLimit(limit);
    }

    function engage() private {
        vm.prank(guardian);
        adapter.engage("");
    }

    function release() private returns (bool) {
        vm.prank(guardian);
        return adapter.release();
    }

    function test_RestoresWhatGovernanceHadSet() public {
        setLimit(500e18);

        engage();
        assertTrue(adapter.engaged());
        assertEq(vault.withdrawLimit(), LIMIT);
        assertTrue(release());
        assertEq(vault.withdrawLimit(), 500e18);
        assertFalse(adapter.engaged());
    }

    function test_TighterLimitOfGovernanceCountsAsEngaged() public {
        setLimit(LIMIT - 1);
        assertTrue(adapter.engaged());
        setLimit(LIMIT + 1);
        assertFalse(adapter.engaged());
    }

    function test_ReleaseLeavesWhatGovernanceHasMovedSince() public {
        engage();
        setLimit(1);

        assertFalse(release());
        assertEq(vault.withdrawLimit(), 1);
    }

    function test_FullReleaseCallIsMadeAsFixed() public {
        adapter = newAdapter(abi.encodeCall(Vault.setWithdrawLimit, (777)));
        vm.prank(governance);
        manager.grantRole(ROLE, address(adapter), 0);

        engage();
        assertTrue(release());
        assertEq(vault.withdrawLimit(), 777);
    }

    function test_WithoutAReleaseCallTheOwnerLifts() public {
        adapter = newAdapter("");
        vm.prank(governance);
        manager.grantRole(ROLE, address(adapter), 0);
        expectReady(adapter, bytes32(0));

        engage();
        assertFalse(release());
        assertEq(vault.withdrawLimit(), LIMIT);
    }

    function test_RevertIf_NotItsGuardian() public {
        expectOnlyGuardian(adapter);
    }

    function test_RevertIf_RoleIsRevoked() public {
        expectReady(adapter, bytes32(0));
        vm.prank(governance);
        manager.revokeRole(ROLE, address(adapter));

        expectReady(adapter, "NO_RIGHT_TO_ENGAGE");
        vm.prank(guardian);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        adapter.engage("");
    }

    function test_ReadinessNamesAMissingRightToRelease() public {
        adapter = newAdapter(abi.encodeCall(Vault.pause, ()));
        vm.prank(governance);
        manager.grantRole(ROLE, address(adapter), 0);
        expectReady(adapter, "NO_RIGHT_TO_RELEASE");
    }

    function test_RoleCoversNothingElse() public {
        vm.prank(address(adapter));
        vm.expectRevert();
        vault.pause();
    }

    function test_RevertIf_CallsAreTooShortOrTheProbeFails() public {
        bytes memory call_ = abi.encodeCall(Vault.setWithdrawLimit, (LIMIT));
        bytes memory probe = abi.encodeWithSignature("withdrawLimit()");
        bytes memory tooShort = abi.encodeWithSelector(FixedCallAdapter.CallTooShort.selector, 3);
        FixedCallAdapter.Compare equal = FixedCallAdapter.Compare.Equal;

        vm.expectRevert(tooShort);
        new AccessManagedAdapter(guardian, address(vault), hex"010203", "", probe, equal, 0);
        vm.expectRevert(tooShort);
        new AccessManagedAdapter(guardian, address(vault), call_, hex"010203", probe, equal, 0);
        vm.expectRevert(tooShort);
        new AccessManagedAdapter(guardian, address(vault), call_, "", hex"010203", equal, 0);
        vm.expectRevert(abi.encodeWithSelector(FixedCallAdapter.ProbeFailed.selector, address(vault)));
        new AccessManagedAdapter(guardian, address(vault), call_, "", hex"01020304", equal, 0);
    }
}

contract OwnerCallAdapterTest is Adapted {
    Bridge private bridge;
    OwnerCallAdapter private adapter;

    function setUp() public {
        bridge = new Bridge();
        adapter = new OwnerCallAdapter(
            guardian,
            address(bridge),
            governance,
            abi.encodeCall(Bridge.setMinimumDelay, (1 days)),
            abi.encodePacked(Bridge.setMinimumDelay.selector),
            abi.encodeWithSignature("minimumDelay()"),
            FixedCallAdapter.Compare.AtLeast,
            bytes32(uint256(1 days))
        );
    }

    function test_EngagesAndRestoresAsTheOwner() public {
        expectReady(adapter, "NOT_OWNER");
        bridge.transferOwnership(address(adapter));
        expectReady(adapter, bytes32(0));
        vm.startPrank(guardian);

        adapter.engage("");
        assertEq(bridge.minimumDelay(), 1 days);
        assertTrue(adapter.engaged());
        assertTrue(adapter.release());
        assertEq(bridge.minimumDelay(), 1);
        assertFalse(adapter.engaged());
    }

    function test_GovernanceActsAndTakesOwnershipOut() public {
        bridge.transferOwnership(address(adapter));
        vm.startPrank(governance);

        adapter.execute(abi.encodeCall(Bridge.setMinimumDelay, (5)));
        assertEq(bridge.minimumDelay(), 5);
        adapter.execute(abi.encodeWithSignature("transferOwnership(address)", governance));
        assertEq(bridge.owner(), governance);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        adapter.execute(abi.encodeCall(Bridge.setMinimumDelay, (6)));
    }

    function test_RevertIf_AnybodyElseActs() public {
        expectOnlyGuardian(adapter);
        bytes memory notGuardian = abi.encodeWithSelector(OwnerCallAdapter.NotAdmin.selector, guardian);
        vm.startPrank(guardian);
        vm.expectRevert(notGuardian);
        adapter.execute(abi.encodeCall(Bridge.setMinimumDelay, (5)));
        vm.expectRevert(notGuardian);
        adapter.offerAdmin(guardian);
        vm.expectRevert(notGuardian);
        adapter.acceptAdmin();
    }

    function test_AdminMovesInTwoSteps() public {
        address next = makeAddr("next");
        vm.prank(governance);
        adapter.offerAdmin(next);
        assertEq(adapter.admin(), governance);
        vm.prank(next);
        adapter.acceptAdmin();

        assertEq(adapter.admin(), next);
        assertEq(adapter.pendingAdmin(), address(0));
    }

    function test_RevertIf_AdminIsZero() public {
        vm.expectRevert(OwnerCallAdapter.AdminZero.selector);
        new OwnerCallAdapter(
            guardian,
            address(bridge),
            address(0),
            hex"01020304",
            "",
            abi.encodeWithSignature("minimumDelay()"),
            FixedCallAdapter.Compare.Equal,
            0
        );
    }
}

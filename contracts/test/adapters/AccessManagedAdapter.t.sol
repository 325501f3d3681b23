// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {Vault} from "../../demo/Vault.sol";
import {AccessManagedAdapter} from "../../src/adapters/AccessManagedAdapter.sol";
import {FixedCallAdapter} from "../../src/adapters/FixedCallAdapter.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {RestoringAdapter} from "../../src/adapters/RestoringAdapter.sol";
import {TargetAdapter} from "../../src/adapters/TargetAdapter.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

contract AccessManagedAdapterTest is AdapterProperties {
    uint64 private constant ROLE = 7;
    uint256 private constant LIMIT = 100e18;

    AccessManager private manager;
    Vault private vault;
    bytes private releaseCall = abi.encodePacked(Vault.setWithdrawLimit.selector);

    function setUp() public {
        manager = new AccessManager(governance);
        vault = new Vault(address(manager), new DemoToken("T", "T"), "Vault", "V");
        target = address(vault);
        adapter = construct(guardian, target);
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Vault.setWithdrawLimit.selector;
        vm.startPrank(governance);
        manager.setTargetFunctionRole(target, selectors, ROLE);
        manager.grantRole(ROLE, governance, 0);
        vm.stopPrank();
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new AccessManagedAdapter(
            guardian_,
            target_,
            abi.encodeCall(Vault.setWithdrawLimit, (LIMIT)),
            releaseCall,
            abi.encodeWithSignature("withdrawLimit()"),
            FixedCallAdapter.Compare.AtMost,
            bytes32(LIMIT)
        );
    }

    function useReleaseCall(bytes memory call_) private {
        releaseCall = call_;
        adapter = construct(guardian, target);
        grantRight();
    }

    function grantRight() internal override {
        vm.prank(governance);
        manager.grantRole(ROLE, address(adapter), 0);
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NO_RIGHT_TO_ENGAGE";
    }

    function isRestricted() internal view override returns (bool) {
        return vault.withdrawLimit() <= LIMIT;
    }

    function liftByGovernance() internal override {
        setLimit(LIMIT + 1);
    }

    function setLimit(uint256 limit) private {
        vm.prank(governance);
        vault.setWithdrawLimit(limit);
    }

    function testFuzz_RestoresExactlyWhatGovernanceHadSet(uint256 limit) public {
        limit = bound(limit, LIMIT + 1, type(uint256).max);
        grantRight();
        setLimit(limit);

        engage();
        assertEq(vault.withdrawLimit(), LIMIT);
        assertTrue(release());
        assertEq(vault.withdrawLimit(), limit);
    }

    function testFuzz_LeavesWhatGovernanceHasMovedSince(uint256 limit) public {
        vm.assume(limit != LIMIT);
        grantRight();
        engage();
        setLimit(limit);

        assertFalse(release());
        assertEq(vault.withdrawLimit(), limit);
    }

    function testFuzz_TighterLimitOfGovernanceCountsAsEngaged(uint256 limit) public {
        setLimit(limit);
        assertEq(adapter.engaged(), limit <= LIMIT);
    }

    function testFuzz_WithEqualOnlyTheVeryValueCountsAsEngaged(uint256 limit) public {
        vm.assume(limit != LIMIT);
        adapter = new AccessManagedAdapter(
            guardian,
            target,
            abi.encodeCall(Vault.setWithdrawLimit, (LIMIT)),
            "",
            abi.encodeWithSignature("withdrawLimit()"),
            FixedCallAdapter.Compare.Equal,
            bytes32(LIMIT)
        );
        setLimit(limit);
        assertFalse(adapter.engaged());
        setLimit(LIMIT);
        assertTrue(adapter.engaged());
    }

    function test_SecondEngageKeepsWhatStoodBeforeTheFirst() public {
        grantRight();
        setLimit(500e18);
        engage();
        engage();

        assertTrue(release());
        assertEq(vault.withdrawLimit(), 500e18);
    }

    function test_SecondReleaseDoesNothing() public {
        grantRight();
        engage();
        assertTrue(release());
        setLimit(LIMIT);

        assertFalse(release());
        assertEq(vault.withdrawLimit(), LIMIT);
    }

    function test_EngagesAnewFromWhatGovernanceHasSetSince() public {
        grantRight();
        setLimit(500e18);
        engage();
        setLimit(300e18);
        engage();

        assertTrue(release());
        assertEq(vault.withdrawLimit(), 300e18);
    }

    function test_FullReleaseCallIsMadeAsFixed() public {
        useReleaseCall(abi.encodeCall(Vault.setWithdrawLimit, (777e18)));
        engage();

        assertTrue(release());
        assertEq(vault.withdrawLimit(), 777e18);
    }

    function test_WithoutAReleaseCallTheOwnerLifts() public {
        useReleaseCall("");
        expectReady(bytes32(0));
        engage();

        assertFalse(release());
        assertEq(vault.withdrawLimit(), LIMIT);
    }

    function test_ReadinessNamesAMissingRightToRelease() public {
        useReleaseCall(abi.encodeCall(Vault.pause, ()));
        expectReady("NO_RIGHT_TO_RELEASE");
    }

    function test_RightsEndWithTheRole() public {
        grantRight();
        vm.prank(governance);
        manager.revokeRole(ROLE, address(adapter));

        expectReady("NO_RIGHT_TO_ENGAGE");
        vm.prank(guardian);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        adapter.engage("");
    }

    function test_RoleCoversNothingElse() public {
        grantRight();
        vm.prank(address(adapter));
        vm.expectRevert(
            abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, address(adapter))
        );
        vault.pause();
    }

    function test_TellsItsCalls() public view {
        (bytes memory engageCall, bytes memory release_, bytes memory probe) =
            AccessManagedAdapter(address(adapter)).calls();

        assertEq(engageCall, abi.encodeCall(Vault.setWithdrawLimit, (LIMIT)));
        assertEq(release_, releaseCall);
        assertEq(probe, abi.encodeWithSignature("withdrawLimit()"));
    }

    function constructWith(bytes memory engageCall, bytes memory releaseCall_, bytes memory probe) external {
        new AccessManagedAdapter(
            guardian, target, engageCall, releaseCall_, probe, FixedCallAdapter.Compare.Equal, 0
        );
    }

    function test_RevertIf_CallsAreTooShortOrTheProbeFails() public {
        bytes memory call_ = abi.encodeCall(Vault.setWithdrawLimit, (LIMIT));
        bytes memory probe = abi.encodeWithSignature("withdrawLimit()");
        bytes memory tooShort = abi.encodeWithSelector(RestoringAdapter.CallTooShort.selector, 3);

        vm.expectRevert(tooShort);
        this.constructWith(hex"010203", "", probe);
        vm.expectRevert(tooShort);
        this.constructWith(call_, hex"010203", probe);
        vm.expectRevert(tooShort);
        this.constructWith(call_, "", hex"010203");
        vm.expectRevert(abi.encodeWithSelector(TargetAdapter.TargetUnreadable.selector, target));
        this.constructWith(call_, "", hex"01020304");
    }
}

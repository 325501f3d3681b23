// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {PausableTarget} from "../../demo/PausableTarget.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {RoleRevocationAdapter} from "../../src/adapters/RoleRevocationAdapter.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

contract AccessControlRevocationTest is AdapterProperties {
    bytes32 private constant ADMIN = 0;

    address private keeper = makeAddr("keeper");
    PausableTarget private roles;
    bytes32 private role;

    function setUp() public {
        roles = new PausableTarget(governance);
        role = roles.PAUSER_ROLE();
        target = address(roles);
        adapter = construct(guardian, target);
        grant(role, keeper);
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new RoleRevocationAdapter(
            guardian_, target_, RoleRevocationAdapter.Registry.AccessControl, role, keeper
        );
    }

    function grantRight() internal override {
        grant(ADMIN, address(adapter));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NOT_ROLE_ADMIN";
    }

    function isRestricted() internal view override returns (bool) {
        return !roles.hasRole(role, keeper);
    }

    function liftByGovernance() internal override {
        grant(role, keeper);
    }

    function gives() internal pure override returns (bool) {
        return false;
    }

    function grant(bytes32 role_, address to) private {
        vm.prank(governance);
        roles.grantRole(role_, to);
    }

    function test_TakesThisRoleFromThisAccountAlone() public {
        address other = makeAddr("other");
        grant(role, other);
        grant("OTHER_ROLE", keeper);
        grantRight();

        engage();
        assertTrue(roles.hasRole(role, other));
        assertTrue(roles.hasRole("OTHER_ROLE", keeper));
    }

    function test_NotReadyWhenTheAccountCouldGrantItselfTheRole() public {
        grantRight();
        grant(ADMIN, keeper);
        expectReady("ACCOUNT_IS_ROLE_ADMIN");
    }

    function test_NotReadyWhenTheTargetKeepsNoRoles() public {
        adapter = construct(guardian, address(this));
        expectReady("ROLE_NOT_READABLE");
    }

    function test_RevertIf_AccountIsZero() public {
        keeper = address(0);
        vm.expectRevert(RoleRevocationAdapter.AccountZero.selector);
        construct(guardian, target);
    }
}

contract AccessManagerRevocationTest is AdapterProperties {
    uint64 private constant ROLE = 7;
    uint64 private constant ROLE_ADMIN = 8;

    address private keeper = makeAddr("keeper");
    AccessManager private manager;

    function setUp() public {
        manager = new AccessManager(governance);
        target = address(manager);
        adapter = construct(guardian, target);
        vm.prank(governance);
        manager.setRoleAdmin(ROLE, ROLE_ADMIN);
        grant(ROLE_ADMIN, governance, 0);
        grant(ROLE, keeper, 0);
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return constructFor(guardian_, target_, bytes32(uint256(ROLE)));
    }

    function constructFor(address guardian_, address target_, bytes32 role) private returns (IAdapter) {
        return new RoleRevocationAdapter(
            guardian_, target_, RoleRevocationAdapter.Registry.AccessManager, role, keeper
        );
    }

    function grantRight() internal override {
        grant(ROLE_ADMIN, address(adapter), 0);
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NOT_ROLE_ADMIN";
    }

    function isRestricted() internal view override returns (bool) {
        (bool isMember,) = manager.hasRole(ROLE, keeper);
        return !isMember;
    }

    function liftByGovernance() internal override {
        grant(ROLE, keeper, 0);
    }

    function gives() internal pure override returns (bool) {
        return false;
    }

    function grant(uint64 role, address to, uint32 delaySeconds) private {
        vm.prank(governance);
        manager.grantRole(role, to, delaySeconds);
    }

    /// @dev A key that must wait before it acts is a member all the same.
    function test_RevokesAMemberWhoseCallsAreDelayed() public {
        grantRight();
        grant(ROLE, keeper, 1 days);
        assertFalse(adapter.engaged());

        engage();
        assertTrue(isRestricted());
        assertTrue(adapter.engaged());
    }

    function test_NotReadyWithAnAdminRoleThatHasADelay() public {
        grant(ROLE_ADMIN, address(adapter), 1 days);
        expectReady("NOT_ROLE_ADMIN");
    }

    function test_NotReadyWhenTheAccountCouldGrantItselfTheRole() public {
        grantRight();
        grant(ROLE_ADMIN, keeper, 1 days);
        expectReady("ACCOUNT_IS_ROLE_ADMIN");
    }

    function testFuzz_RevertIf_TheRoleIsNoneOfAnAccessManagers(uint256 role) public {
        role = bound(role, type(uint64).max, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(RoleRevocationAdapter.RoleInvalid.selector, role));
        constructFor(guardian, target, bytes32(role));
    }
}

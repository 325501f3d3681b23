// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {GuardVault} from "../../examples/vault/GuardVault.s.sol";
import {TokenVault} from "../../examples/vault/TokenVault.sol";
import {IGuardian, Outcome} from "../../src/interfaces/IGuardian.sol";
import {IGuardianEvents} from "../../src/interfaces/IGuardianEvents.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Integrated} from "./Integrated.sol";

contract GuardVaultOfThisBuild is GuardVault {
    function creationCode(string memory name) internal view override returns (bytes memory) {
        return vm.getCode(string.concat(name, ".sol:", name));
    }
}

contract GuardVaultTest is Integrated {
    string private constant NAME = "pause";

    address private saver = makeAddr("saver");
    DemoToken private token;
    TokenVault private vault;
    GuardVault private script;
    address private pauser;

    function setUp() public {
        setUpChain();
        token = new DemoToken("Token", "TOK");
        vault = new TokenVault(token, owner);
        fund(token, saver, address(vault));
        vm.prank(saver);
        vault.deposit(500e18, saver);

        script = new GuardVaultOfThisBuild();
        (guardian, pauser) = script.prepare(factory, vault, owner);
        script.connect(factory, vault, owner);
        approvePolicy();
    }

    function test_UsersNoticeNothingOfTheIntegration() public {
        expectReadiness(NAME, bytes32(0));
        vm.startPrank(saver);

        vault.deposit(100e18, saver);
        vault.withdraw(600e18, saver, saver);

        assertEq(token.balanceOf(saver), 1000e18);
    }

    function test_CertificatePausesAndTimeOpens() public {
        assertTrue(brake(NAME) == Outcome.Acted);

        vm.startPrank(saver);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vault.withdraw(1, saver, saver);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        vault.deposit(1, saver);
        vm.stopPrank();

        vm.expectPartialRevert(IGuardianEvents.NotYetExpired.selector);
        guardian.expire(keccak256("pause"));
        expireAfter(NAME, 6 hours);
        vm.prank(saver);
        vault.withdraw(500e18, saver, saver);
    }

    function test_OwnerLiftsAtOnce() public {
        brake(NAME);

        liftNow(NAME);

        assertFalse(vault.paused());
        vm.prank(saver);
        vault.withdraw(500e18, saver, saver);
    }

    function test_RevertIf_FourOfSevenSign() public {
        expectRefused(QuorumVerifier.QuorumNotReached.selector, makeAlert(), actionsOf(NAME), 0, NAME, 4);
        assertFalse(vault.paused());
    }

    function test_GovernanceTakesTheRightBackInOneTransaction() public {
        bytes32 role = vault.PAUSER_ROLE();
        vm.prank(owner);
        vault.revokeRole(role, pauser);

        expectReadiness(NAME, "NO_RIGHT_TO_PAUSE");
        expectRefused(IGuardianEvents.ActionFailed.selector, makeAlert(), actionsOf(NAME), 0, NAME, 7);
        assertFalse(vault.paused());
    }

    function test_SecondRunSendsNothing() public {
        vm.startStateDiffRecording();
        (IGuardian again, address sameAdapter) = script.prepare(factory, vault, owner);
        script.connect(factory, vault, owner);
        expectNoTransaction(vm.stopAndReturnStateDiff());

        assertEq(address(again), address(guardian));
        assertEq(sameAdapter, pauser);
    }

    function test_AdapterHasNoOtherRightOnTheVault() public {
        vm.startPrank(pauser);
        bytes32 admin = vault.DEFAULT_ADMIN_ROLE();
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        vault.grantRole(admin, pauser);
    }
}

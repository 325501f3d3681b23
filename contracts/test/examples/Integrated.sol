// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {VmSafe} from "forge-std/Vm.sol";
import {Guardian} from "../../src/guardian/Guardian.sol";
import {Outcome} from "../../src/interfaces/IGuardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {Guarded} from "../support/Guarded.sol";

/// @title Integrated: a chain with a verifier and a factory, and certificates for a guardian that a script made
abstract contract Integrated is Guarded {
    GuardianFactory internal factory;

    function setUpChain() internal {
        setUpNetwork();
        factory = new GuardianFactory(address(new Guardian(verifier)));
        vm.roll(1000);
        advance(1 minutes);
    }

    /// @dev The owner's consent to the policy, as the last step of an integration.
    function approvePolicy() internal {
        vm.prank(owner);
        guardian.setPolicy(POLICY);
        advance(1 minutes);
    }

    /// @dev What five of the seven sign, delivered by a stranger.
    function brake(string memory name) internal returns (Outcome) {
        return deliver(makeAlert(), actionsOf(name), 0, name, 5);
    }

    function deliver(
        Alert memory alert,
        bytes32[] memory leaves_,
        uint256 leafIndex,
        string memory name,
        uint256 signers
    ) internal returns (Outcome) {
        bytes memory certificate = certifyPresent(digestOf(alert, leaves_), first(signers));
        vm.prank(makeAddr("stranger"));
        return guardian.respond(alert, leaves_, leafIndex, keccak256(bytes(name)), "", certificate);
    }

    function expectRefused(
        bytes4 reason,
        Alert memory alert,
        bytes32[] memory leaves_,
        uint256 leafIndex,
        string memory name,
        uint256 signers
    ) internal {
        bytes memory certificate = certifyPresent(digestOf(alert, leaves_), first(signers));
        vm.prank(makeAddr("stranger"));
        vm.expectPartialRevert(reason);
        guardian.respond(alert, leaves_, leafIndex, keccak256(bytes(name)), "", certificate);
    }

    /// @dev The first `count` of the seven operators; each has the same weight.
    function first(uint256 count) internal pure returns (uint256[] memory indices) {
        indices = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            indices[i] = i;
        }
    }

    function actionsOf(string memory name) internal view returns (bytes32[] memory) {
        return leavesOf(keccak256(bytes(name)), "");
    }

    function expireAfter(string memory name, uint256 secs) internal {
        advance(secs);
        vm.prank(makeAddr("stranger"));
        guardian.expire(keccak256(bytes(name)));
    }

    function liftNow(string memory name) internal {
        vm.prank(owner);
        guardian.lift(keccak256(bytes(name)));
    }

    function expectReadiness(string memory name, bytes32 expected) internal view {
        (bool ok, bytes32 reason) = guardian.readiness(keccak256(bytes(name)));
        assertEq(reason, expected);
        assertEq(ok, expected == bytes32(0));
    }

    /// @dev A token of which `account` holds 1,000 and lets `spender` take them.
    function fund(DemoToken token, address account, address spender) internal {
        token.mint(account, 1000e18);
        vm.prank(account);
        token.approve(spender, type(uint256).max);
    }

    function expectNoTransaction(VmSafe.AccountAccess[] memory accesses) internal pure {
        assertGt(accesses.length, 0);
        for (uint256 i = 0; i < accesses.length; ++i) {
            for (uint256 j = 0; j < accesses[i].storageAccesses.length; ++j) {
                assertFalse(accesses[i].storageAccesses[j].isWrite, "a second run writes");
            }
            assertTrue(accesses[i].kind != VmSafe.AccountAccessKind.Create, "a second run creates");
        }
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DemoToken} from "../../demo/DemoToken.sol";
import {GuardBridge} from "../../examples/bridge/GuardBridge.s.sol";
import {RootBridge} from "../../examples/bridge/RootBridge.sol";
import {OwnerCallAdapter} from "../../src/adapters/OwnerCallAdapter.sol";
import {Outcome} from "../../src/interfaces/IGuardian.sol";
import {IGuardianEvents} from "../../src/interfaces/IGuardianEvents.sol";
import {Integrated} from "./Integrated.sol";

contract GuardBridgeOfThisBuild is GuardBridge {
    function creationCode(string memory name) internal view override returns (bytes memory) {
        return vm.getCode(string.concat(name, ".sol:", name));
    }
}

contract GuardBridgeTest is Integrated {
    string private constant NAME = "hold-payouts";
    uint256 private constant DELAY = 30 minutes;
    uint256 private constant PAYOUT = 100e18;

    address private updater = makeAddr("updater");
    address private recipient = makeAddr("recipient");
    DemoToken private token;
    RootBridge private bridge;
    GuardBridge private script;
    OwnerCallAdapter private holder;

    function setUp() public {
        setUpChain();
        token = new DemoToken("Token", "TOK");
        bridge = new RootBridge(token, updater, DELAY, owner);
        token.mint(address(bridge), 1000e18);

        script = new GuardBridgeOfThisBuild();
        address adapter_;
        (guardian, adapter_) = script.prepare(factory, bridge, owner);
        holder = OwnerCallAdapter(adapter_);
        script.connect(factory, bridge, owner);
        approvePolicy();
    }

    /// @dev A root of one message, that pays the recipient.
    function propose(uint256 nonce) private returns (bytes32 root) {
        root = bridge.leafOf(recipient, PAYOUT, nonce);
        vm.prank(updater);
        bridge.propose(root);
    }

    function pay(bytes32 root, uint256 nonce) private {
        bridge.pay(root, recipient, PAYOUT, nonce, new bytes32[](0));
    }

    function expectHeldBack(bytes32 root, uint256 nonce) private {
        vm.expectPartialRevert(RootBridge.RootNotConfirmed.selector);
        bridge.pay(root, recipient, PAYOUT, nonce, new bytes32[](0));
    }

    function test_UsersNoticeNothingOfTheIntegration() public {
        expectReadiness(NAME, bytes32(0));
        bytes32 root = propose(1);

        advance(DELAY);
        pay(root, 1);

        assertEq(token.balanceOf(recipient), PAYOUT);
    }

    function test_CertificateHoldsPayoutsBackAndTimeRestoresTheDelay() public {
        bytes32 forged = propose(1);
        assertTrue(brake(NAME) == Outcome.Acted);

        advance(DELAY);
        expectHeldBack(forged, 1);
        advance(23 hours);
        expectHeldBack(forged, 1);

        expireAfter(NAME, 1 hours);
        assertEq(bridge.confirmationDelay(), DELAY);
        pay(forged, 1);
    }

    function test_OwnerLiftsAtOnce() public {
        bytes32 root = propose(1);
        brake(NAME);
        advance(DELAY);

        liftNow(NAME);

        assertEq(bridge.confirmationDelay(), DELAY);
        pay(root, 1);
    }

    /// @dev Where the roots are bad, governance keeps the restriction until it has repaired them.
    function test_OwnerAdoptsAndTimeOpensNothing() public {
        bytes32 forged = propose(1);
        brake(NAME);

        vm.prank(owner);
        guardian.adopt(keccak256(bytes(NAME)));
        advance(30 days);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotActive.selector, keccak256(bytes(NAME))));
        guardian.expire(keccak256(bytes(NAME)));
        expectHeldBack(forged, 1);
    }

    function test_GovernanceActsAsOwnerThroughTheAdapter() public {
        vm.prank(owner);
        holder.execute(abi.encodeCall(RootBridge.setConfirmationDelay, (2 hours)));
        assertEq(bridge.confirmationDelay(), 2 hours);
        brake(NAME);

        // also while the network restricts; what governance has set is not touched afterwards
        vm.prank(owner);
        holder.execute(abi.encodeCall(RootBridge.setConfirmationDelay, (3 hours)));
        expireAfter(NAME, 24 hours);
        assertEq(bridge.confirmationDelay(), 3 hours);
    }

    function test_GovernanceTakesOwnershipBack() public {
        vm.prank(owner);
        holder.execute(abi.encodeCall(bridge.transferOwnership, (owner)));

        assertEq(bridge.owner(), owner);
        expectReadiness(NAME, "NOT_OWNER");
        expectRefused(IGuardianEvents.ActionFailed.selector, makeAlert(), actionsOf(NAME), 0, NAME, 7);
    }

    function test_SecondRunSendsNothing() public {
        vm.startStateDiffRecording();
        script.prepare(factory, bridge, owner);
        script.connect(factory, bridge, owner);
        expectNoTransaction(vm.stopAndReturnStateDiff());
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Administered} from "../../src/adapters/Administered.sol";
import {FixedCallAdapter} from "../../src/adapters/FixedCallAdapter.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {OwnerCallAdapter} from "../../src/adapters/OwnerCallAdapter.sol";
import {Bridge} from "../mocks/Bridge.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

contract OwnerCallAdapterTest is AdapterProperties {
    uint256 private constant DELAY = 1 days;

    Bridge private bridge;
    OwnerCallAdapter private owner;
    address private admin = governance;

    function setUp() public {
        bridge = new Bridge();
        target = address(bridge);
        adapter = construct(guardian, target);
        owner = OwnerCallAdapter(address(adapter));
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new OwnerCallAdapter(
            guardian_,
            target_,
            admin,
            abi.encodeCall(Bridge.setMinimumDelay, (DELAY)),
            abi.encodePacked(Bridge.setMinimumDelay.selector),
            abi.encodeWithSignature("minimumDelay()"),
            FixedCallAdapter.Compare.AtLeast,
            bytes32(DELAY)
        );
    }

    function grantRight() internal override {
        bridge.transferOwnership(address(adapter));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NOT_OWNER";
    }

    function isRestricted() internal view override returns (bool) {
        return bridge.minimumDelay() >= DELAY;
    }

    function liftByGovernance() internal override {
        vm.prank(governance);
        owner.execute(abi.encodeCall(Bridge.setMinimumDelay, (5)));
    }

    function testFuzz_RestoresExactlyWhatGovernanceHadSet(uint256 delay) public {
        delay = bound(delay, 0, DELAY - 1);
        grantRight();
        vm.prank(governance);
        owner.execute(abi.encodeCall(Bridge.setMinimumDelay, (delay)));

        engage();
        assertEq(bridge.minimumDelay(), DELAY);
        assertTrue(release());
        assertEq(bridge.minimumDelay(), delay);
    }

    function testFuzz_LongerDelayOfGovernanceCountsAsEngaged(uint256 delay) public {
        grantRight();
        vm.prank(governance);
        owner.execute(abi.encodeCall(Bridge.setMinimumDelay, (delay)));

        assertEq(adapter.engaged(), delay >= DELAY);
    }

    function test_GovernanceTakesOwnershipOut() public {
        grantRight();
        vm.startPrank(governance);
        owner.execute(abi.encodeWithSignature("transferOwnership(address)", governance));

        assertEq(bridge.owner(), governance);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        owner.execute(abi.encodeCall(Bridge.setMinimumDelay, (6)));
    }

    function testFuzz_RevertIf_AnybodyElseActsAsTheOwner(address caller) public {
        vm.assume(caller != governance && caller != address(0));
        grantRight();
        bytes memory notAdmin = abi.encodeWithSelector(Administered.NotAdmin.selector, caller);

        vm.startPrank(caller);
        vm.expectRevert(notAdmin);
        owner.execute(abi.encodeCall(Bridge.setMinimumDelay, (5)));
        vm.expectRevert(notAdmin);
        owner.offerAdmin(caller);
        vm.expectRevert(notAdmin);
        owner.acceptAdmin();
    }

    function test_AdminMovesInTwoSteps() public {
        address next = makeAddr("next");
        vm.expectEmit(address(owner));
        emit Administered.AdminOffered(governance, next);
        vm.prank(governance);
        owner.offerAdmin(next);
        assertEq(owner.admin(), governance);

        vm.expectEmit(address(owner));
        emit Administered.AdminChanged(governance, next);
        vm.prank(next);
        owner.acceptAdmin();

        assertEq(owner.admin(), next);
        assertEq(owner.pendingAdmin(), address(0));
    }

    function test_AnOfferCanBeTakenBack() public {
        address next = makeAddr("next");
        vm.startPrank(governance);
        owner.offerAdmin(next);
        owner.offerAdmin(address(0));
        vm.stopPrank();

        vm.prank(next);
        vm.expectRevert(abi.encodeWithSelector(Administered.NotAdmin.selector, next));
        owner.acceptAdmin();
    }

    function test_TellsOfItsFirstAdmin() public {
        vm.expectEmit();
        emit Administered.AdminChanged(address(0), governance);
        construct(guardian, target);
    }

    function test_TellsOfWhatTheAdminDid() public {
        grantRight();
        vm.expectEmit(address(owner));
        emit OwnerCallAdapter.Executed(Bridge.setMinimumDelay.selector, 0);
        vm.prank(governance);
        owner.execute(abi.encodeCall(Bridge.setMinimumDelay, (5)));
    }

    function test_RevertIf_AdminIsZero() public {
        admin = address(0);
        vm.expectRevert(Administered.AdminZero.selector);
        construct(guardian, target);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {Guardian} from "../../src/guardian/Guardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {GuardianOffice} from "../../src/guardian/GuardianOffice.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IGuardianEvents} from "../../src/interfaces/IGuardianEvents.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice Whose guardian it is, from its creation on.
contract OwnershipTest is Guarded {
    function setUp() public {
        setUpGuardian();
    }

    function test_OwnershipMovesInTwoSteps() public {
        address next = makeAddr("next");
        vm.prank(next);
        guardian.requestOwnershipHandover();
        vm.prank(owner);
        guardian.completeOwnershipHandover(next);

        assertEq(guardian.owner(), next);
    }

    function test_RevertIf_OwnershipIsGivenInOneStep() public {
        Ownable ownable = Ownable(address(guardian));
        vm.startPrank(owner);
        vm.expectRevert(IGuardianEvents.UseOwnershipHandover.selector);
        ownable.transferOwnership(makeAddr("next"));
        vm.expectRevert(IGuardianEvents.UseOwnershipHandover.selector);
        ownable.renounceOwnership();
    }

    function test_T37_RevertIf_InitialisedTwice() public {
        vm.expectRevert(Ownable.AlreadyInitialized.selector);
        guardian.initialize(address(this), POLICY);
    }

    /// @dev Neither the code behind the clones nor its other half can be taken over.
    function test_T37_RevertIf_TheImplementationIsInitialised() public {
        IGuardian implementation = IGuardian(address(new Guardian(verifier)));
        vm.expectRevert(Ownable.AlreadyInitialized.selector);
        implementation.initialize(address(this), POLICY);
        assertEq(implementation.owner(), address(1));

        GuardianOffice office = new GuardianOffice(verifier);
        vm.expectRevert(Ownable.AlreadyInitialized.selector);
        office.initialize(address(this), POLICY);
    }

    function test_T37_CreationIsOpenAndTheAddressBelongsToTheOwner() public {
        GuardianFactory factory = new GuardianFactory(address(new Guardian(verifier)));
        address predicted = factory.predict(owner, POLICY, "salt");
        vm.prank(makeAddr("stranger"));
        address created = factory.create(owner, POLICY, "salt");

        assertEq(created, predicted);
        assertEq(IGuardian(created).owner(), owner);
        assertEq(IGuardian(created).policyHash(), POLICY);
        // A second call, as after a front-run, finds the same guardian.
        assertEq(factory.create(owner, POLICY, "salt"), created);
        assertTrue(factory.predict(address(this), POLICY, "salt") != created);
        assertTrue(factory.predict(owner, "other", "salt") != created);
    }

    function test_RevertIf_OwnerIsZero() public {
        GuardianFactory factory = new GuardianFactory(address(new Guardian(verifier)));
        vm.expectRevert(Ownable.NewOwnerIsZeroAddress.selector);
        factory.create(address(0), POLICY, "salt");
    }

    function test_RevertIf_ImplementationHasNoCode() public {
        vm.expectRevert(abi.encodeWithSelector(GuardianFactory.ImplementationHasNoCode.selector, owner));
        new GuardianFactory(owner);
    }

    function test_VerifierAndNetworkAreTheImplementations() public view {
        assertEq(address(guardian.verifier()), address(verifier));
        assertEq(guardian.networkId(), NETWORK_ID);
    }

    function test_RevertIf_TheFunctionIsUnknownToBothHalves() public {
        (bool ok,) = address(guardian).call(abi.encodeWithSignature("upgradeTo(address)", address(this)));
        assertFalse(ok);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {BondedStake} from "../../src/registry/BondedStake.sol";
import {OperatorRegistry, Registration} from "../../src/registry/OperatorRegistry.sol";
import {HookToken, ISpender} from "../mocks/HookToken.sol";
import {Registered} from "../support/Registered.sol";

/// @dev An operator whose token calls it while its bond is on the way.
contract ReentrancyTest is Registered, ISpender {
    address private target;
    bytes private callback;
    bool private answered;

    function setUp() public override {
        super.setUp();
        token = new HookToken();
        deploy(terms());
        fund(address(this));
    }

    function beforeTokensMove() external {
        if (target == address(0)) return;
        address called = target;
        target = address(0);
        (answered,) = called.call(callback);
    }

    function callBack(address target_, bytes memory callback_) private {
        (target, callback) = (target_, callback_);
    }

    function test_T33_LeavingWhileTheBondIsOnTheWayBuysNoSeat() public {
        Registration memory given = registration(address(this), 1, MIN_STAKE);
        callBack(address(registry), abi.encodeCall(OperatorRegistry.exit, ()));

        vm.expectRevert(abi.encodeWithSelector(OperatorRegistry.StakeTooSmall.selector, 0, MIN_STAKE));
        registry.register(given);
    }

    function test_T33_BondingTwiceInOneTransferIsRefused() public {
        Registration memory given = registration(address(this), 1, MIN_STAKE);
        callBack(address(stake), abi.encodeCall(BondedStake.bond, (5)));

        // What arrives is more than the outer one asked for: it does not stand for another.
        vm.expectRevert(
            abi.encodeWithSelector(BondedStake.BondNotReceived.selector, MIN_STAKE + 5, MIN_STAKE)
        );
        registry.register(given);
    }

    function test_T33_RegisteringTwiceInOneTransferIsRefused() public {
        Registration memory given = registration(address(this), 1, MIN_STAKE);
        Registration memory another = registration(address(this), 2, MIN_STAKE);
        callBack(address(registry), abi.encodeCall(OperatorRegistry.register, (another)));

        registry.register(given);

        assertFalse(answered);
        assertEq(registry.count(), 1);
        assertEq(stake.stakeOf(address(this)), MIN_STAKE);
    }

    function test_T33_ReleasingWhileTopUpIsOnTheWayPaysOnce() public {
        Registration memory given = registration(address(this), 1, 3 * MIN_STAKE);
        registry.register(given);
        stake.unbond(MIN_STAKE);
        pass(DELAY);
        callBack(address(stake), abi.encodeCall(BondedStake.release, ()));

        // The release within lowers the balance against which the deposit is measured.
        vm.expectRevert(abi.encodeWithSelector(BondedStake.BondNotReceived.selector, 0, MIN_STAKE));
        stake.bond(MIN_STAKE);
    }
}

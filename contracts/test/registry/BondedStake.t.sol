// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {IStakeSource} from "../../src/interfaces/IStakeSource.sol";
import {BondedStake} from "../../src/registry/BondedStake.sol";
import {FeeToken} from "../mocks/FeeToken.sol";

/// @dev The test is the registry.
contract BondedStakeTest is Test {
    uint64 private constant DELAY = 14 days;
    uint96 private constant MIN_STAKE = 100;
    address private constant BURN = address(0xdEaD);

    DemoToken private token;
    BondedStake private stake;
    address private alice = makeAddr("alice");
    address private reporter = makeAddr("reporter");

    function setUp() public {
        vm.warp(1_800_000_000);
        token = new DemoToken("Bond", "BOND");
        stake = new BondedStake(token, address(this), DELAY, BURN);
        token.mint(alice, 10_000);
        vm.prank(alice);
        token.approve(address(stake), type(uint256).max);
    }

    /// @dev As the registry has it.
    function minStake() external pure returns (uint96) {
        return MIN_STAKE;
    }

    function enter(uint256 amount) private {
        stake.enter(alice, abi.encode(amount));
    }

    function unbond(uint256 amount) private {
        vm.prank(alice);
        stake.unbond(amount);
    }

    function assertAccount(uint96 bonded, uint96 leaving, uint64 releasableAt) private view {
        (uint96 gotBonded, uint96 gotLeaving, uint64 gotReleasableAt) = stake.accountOf(alice);
        assertEq(gotBonded, bonded, "bonded");
        assertEq(gotLeaving, leaving, "leaving");
        assertEq(gotReleasableAt, releasableAt, "releasableAt");
        assertEq(stake.stakeOf(alice), bonded);
        assertEq(stake.slashableOf(alice), uint256(bonded) + leaving);
    }

    // ---- bonding

    function test_EnteringMovesTheBond() public {
        vm.expectEmit(address(stake));
        emit BondedStake.Bonded(alice, 500, 0, 500);
        enter(500);

        assertAccount(500, 0, 0);
        assertEq(token.balanceOf(address(stake)), 500);
        assertEq(token.balanceOf(alice), 9500);
    }

    function test_BondGrowsByTopUp() public {
        enter(500);
        vm.expectEmit(address(stake));
        emit BondedStake.Bonded(alice, 20, 0, 520);
        vm.prank(alice);
        stake.bond(20);

        assertAccount(520, 0, 0);
        assertEq(token.balanceOf(address(stake)), 520);
    }

    function test_RevertIf_TopUpIsNothingOrByNoOperator() public {
        vm.expectRevert(abi.encodeWithSelector(BondedStake.NotBonded.selector, alice));
        vm.prank(alice);
        stake.bond(20);
        enter(500);
        vm.expectRevert(BondedStake.AmountZero.selector);
        vm.prank(alice);
        stake.bond(0);
    }

    function test_RevertIf_TokenChargesOnTransfer() public {
        FeeToken fee = new FeeToken();
        stake = new BondedStake(fee, address(this), DELAY, BURN);
        fee.mint(alice, 1000);
        vm.prank(alice);
        fee.approve(address(stake), type(uint256).max);

        vm.expectRevert(abi.encodeWithSelector(BondedStake.BondNotReceived.selector, 499, 500));
        enter(500);
    }

    function test_AccountIsBoundedAsAWhole() public {
        // Else an operator whose two halves add up to more could neither leave nor be slashed.
        uint256 max = type(uint96).max;
        token.mint(alice, 2 * max);
        enter(max - 10);
        unbond(1000);

        vm.expectRevert(abi.encodeWithSelector(BondedStake.BondTooLarge.selector, 11, 10));
        vm.prank(alice);
        stake.bond(11);
        vm.prank(alice);
        stake.bond(10);
        stake.leave(alice);
        assertAccount(0, uint96(max), uint64(block.timestamp) + DELAY);
        vm.expectRevert(abi.encodeWithSelector(BondedStake.BondTooLarge.selector, max + 1, max));
        enter(max + 1);
    }

    function test_OnlyTheRegistryLetsInSendsOutAndSlashes() public {
        bytes memory reason = abi.encodeWithSelector(IStakeSource.NotRegistry.selector, alice, address(this));
        vm.startPrank(alice);

        vm.expectRevert(reason);
        stake.enter(alice, abi.encode(uint256(500)));
        vm.expectRevert(reason);
        stake.leave(alice);
        vm.expectRevert(reason);
        stake.slash(alice, 1, 0, alice);
    }

    // ---- unbonding

    function test_UnbondedPartStopsCountingAtOnceAndIsFreeAfterTheDelay() public {
        enter(500);
        uint64 at = uint64(block.timestamp) + DELAY;

        vm.expectEmit(address(stake));
        emit BondedStake.Unbonding(alice, 150, 150, at);
        unbond(150);

        assertAccount(350, 150, at);
        vm.startPrank(alice);
        vm.warp(at - 1);
        vm.expectRevert(abi.encodeWithSelector(BondedStake.NotReleasable.selector, at - 1, at, 150));
        stake.release();
        vm.warp(at);
        vm.expectEmit(address(stake));
        emit BondedStake.Released(alice, 150);
        stake.release();
        assertAccount(350, 0, 0);
        assertEq(token.balanceOf(alice), 9650);
        vm.expectRevert(abi.encodeWithSelector(BondedStake.NotReleasable.selector, at, 0, 0));
        stake.release();
    }

    function test_SecondUnbondingStartsTheDelayAnewForAllOfIt() public {
        enter(500);
        unbond(100);
        vm.warp(block.timestamp + DELAY - 1);
        unbond(50);

        assertAccount(350, 150, uint64(vm.getBlockTimestamp()) + DELAY);
    }

    function test_RevertIf_UnbondedPartIsNothingOrLeavesTooLittle() public {
        enter(500);
        vm.startPrank(alice);

        vm.expectRevert(BondedStake.AmountZero.selector);
        stake.unbond(0);
        vm.expectRevert(abi.encodeWithSelector(BondedStake.UnbondTooLarge.selector, 501, 500));
        stake.unbond(501);
        vm.expectRevert(abi.encodeWithSelector(BondedStake.BondBelowMinimum.selector, 0, 100));
        stake.unbond(500);
        vm.expectRevert(abi.encodeWithSelector(BondedStake.BondBelowMinimum.selector, 99, 100));
        stake.unbond(401);
        stake.unbond(400);
    }

    function test_LeavingTakesAllOutAndComesBackFirst() public {
        enter(500);
        unbond(100);
        stake.leave(alice);
        assertAccount(0, 500, uint64(block.timestamp) + DELAY);

        vm.expectEmit(address(stake));
        emit BondedStake.Bonded(alice, 300, 300, 300);
        enter(300);

        assertAccount(300, 200, uint64(block.timestamp) + DELAY);
        assertEq(token.balanceOf(address(stake)), 500);
        // More than is on its way out: the rest is fresh.
        stake.leave(alice);
        enter(600);
        assertAccount(600, 0, uint64(block.timestamp) + DELAY);
        assertEq(token.balanceOf(address(stake)), 600);
    }

    // ---- slashing

    function test_SlashedStakeIsOwedToReporterAndBurnAddress() public {
        enter(500);

        vm.expectEmit(address(stake));
        emit BondedStake.Slashed(alice, reporter, 200, 50);
        assertEq(stake.slash(alice, 200, 2500, reporter), 200);

        assertAccount(300, 0, 0);
        assertEq(stake.owed(reporter), 50);
        assertEq(stake.owed(BURN), 150);
        vm.expectEmit(address(stake));
        emit BondedStake.Paid(reporter, 50);
        stake.pay(reporter);
        stake.pay(BURN);
        assertEq(token.balanceOf(reporter), 50);
        assertEq(token.balanceOf(BURN), 150);
        assertEq(token.balanceOf(address(stake)), 300);
        vm.expectRevert(abi.encodeWithSelector(BondedStake.NothingOwed.selector, reporter));
        stake.pay(reporter);
    }

    function test_StakeOnItsWayOutIsSlashedUntilItIsReleased() public {
        enter(500);
        unbond(300);
        uint64 at = uint64(block.timestamp) + DELAY;
        vm.warp(at + 100 days);

        assertEq(stake.slash(alice, 400, 0, reporter), 400);

        assertAccount(0, 100, at);
        vm.prank(alice);
        stake.release();
        assertEq(token.balanceOf(alice), 9600);
    }

    function testFuzz_I8_SlashTakesNoMoreThanIsThereAndPaysNoMoreThanItTakes(
        uint256 bonded,
        uint256 leaving,
        uint256 amount,
        uint16 rewardBps
    ) public {
        bonded = bound(bonded, 2 * MIN_STAKE, 10_000);
        leaving = bound(leaving, 1, bonded - MIN_STAKE);
        rewardBps = uint16(bound(rewardBps, 0, 5000));
        enter(bonded);
        unbond(leaving);

        uint256 taken = stake.slash(alice, amount, rewardBps, reporter);

        assertEq(taken, amount < bonded ? amount : bonded);
        assertEq(stake.slashableOf(alice), bonded - taken);
        assertLe(stake.owed(reporter) * 10_000, taken * rewardBps);
        assertEq(stake.owed(reporter) + stake.owed(BURN), taken);
    }

    function test_SlashDoesNotNeedTheTokenToMove() public {
        enter(500);
        // A token that lets nothing move any more.
        vm.mockCallRevert(address(token), abi.encodePacked(IERC20.transfer.selector), "frozen");

        assertEq(stake.slash(alice, 500, 1000, reporter), 500);

        assertAccount(0, 0, 0);
        vm.expectRevert();
        stake.pay(reporter);
        assertEq(stake.owed(reporter), 50, "still owed");
    }

    // ---- deployment

    function test_T37_RevertIf_Misconfigured() public {
        vm.expectRevert(abi.encodeWithSelector(BondedStake.TokenWithoutCode.selector, alice));
        this.deployWith(IERC20(alice), address(this), DELAY, BURN);
        vm.expectRevert(BondedStake.AddressZero.selector);
        this.deployWith(token, address(0), DELAY, BURN);
        vm.expectRevert(BondedStake.AddressZero.selector);
        this.deployWith(token, address(this), DELAY, address(0));
        vm.expectRevert(abi.encodeWithSelector(BondedStake.DelayTooLong.selector, 365 days + 1, 365 days));
        this.deployWith(token, address(this), 365 days + 1, BURN);
        assertEq(this.deployWith(token, address(this), 365 days, BURN).unbondingDelay(), 365 days);
    }

    /// @dev As a call, so that a test goes on after a refusal however forge links the contract.
    function deployWith(IERC20 token_, address registry_, uint64 delay, address sink)
        external
        returns (BondedStake)
    {
        return new BondedStake(token_, registry_, delay, sink);
    }
}

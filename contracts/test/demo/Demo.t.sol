// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {DrainAttack} from "../../demo/DrainAttack.sol";
import {LendingPool} from "../../demo/LendingPool.sol";
import {Vault} from "../../demo/Vault.sol";

contract DemoTest is Test {
    address private governance = makeAddr("governance");
    address private lender = makeAddr("lender");
    address private borrower = makeAddr("borrower");
    address private thief = makeAddr("thief");

    AccessManager private manager;
    DemoToken private collateral;
    DemoToken private debt;
    LendingPool private pool;

    function setUp() public {
        manager = new AccessManager(governance);
        collateral = new DemoToken("Collateral", "COL");
        debt = new DemoToken("Debt", "DEBT");
        pool = new LendingPool(address(manager), collateral, debt, 2e18);
        debt.mint(lender, 1_000_000e18);
        collateral.mint(borrower, 100_000e18);
        vm.startPrank(lender);
        debt.approve(address(pool), type(uint256).max);
        pool.deposit(1_000_000e18);
        vm.stopPrank();
        vm.startPrank(borrower);
        collateral.approve(address(pool), type(uint256).max);
        debt.approve(address(pool), type(uint256).max);
        pool.postCollateral(100_000e18);
        pool.borrow(100_000e18);
        vm.stopPrank();
    }

    function newAttack() private returns (DrainAttack attack) {
        vm.prank(thief);
        attack = new DrainAttack(pool);
        collateral.mint(address(attack), 100_000e18);
    }

    function test_AttackDrainsThePoolOverSeveralBlocks() public {
        DrainAttack attack = newAttack();
        uint256 blocks = 0;
        while (pool.liquidity() != 0) {
            vm.roll(vm.getBlockNumber() + 1);
            attack.strike();
            ++blocks;
        }

        // 150,000 per strike: the collateral's value of 200,000 at 75 %.
        assertEq(blocks, 6);
        assertFalse(pool.isBacked());
        attack.collect();
        assertEq(debt.balanceOf(thief), 900_000e18);
        assertEq(collateral.balanceOf(thief), 100_000e18, "the thief keeps its capital");
    }

    function test_InvariantBreaksBeforeThePoolIsEmpty() public {
        DrainAttack attack = newAttack();
        assertTrue(pool.isBacked());
        attack.strike();
        assertFalse(pool.isBacked());
        assertGt(pool.liquidity(), 700_000e18);
    }

    function test_BorrowCapSlowsTheAttack() public {
        vm.prank(governance);
        pool.setBorrowCap(10_000e18);
        vm.roll(vm.getBlockNumber() + 1);
        DrainAttack attack = newAttack();

        assertEq(attack.strike(), 10_000e18);
        vm.expectRevert(abi.encodeWithSelector(LendingPool.BorrowCapReached.selector, 10_000e18, 0));
        attack.strike();
    }

    function test_PauseStopsTheAttackAndLeavesRepaymentOpen() public {
        DrainAttack attack = newAttack();
        vm.prank(governance);
        pool.pause();

        vm.expectRevert(Pausable.EnforcedPause.selector);
        attack.strike();
        vm.startPrank(borrower);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        pool.withdrawCollateral(1);
        pool.repay(1e18);
        vm.stopPrank();
        vm.prank(lender);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        pool.withdraw(1);
    }

    function test_HonestLimitsHold() public {
        vm.startPrank(borrower);
        vm.expectRevert(
            abi.encodeWithSelector(
                LendingPool.Undercollateralised.selector, borrower, 150_000e18 + 1, 150_000e18
            )
        );
        pool.borrow(50_000e18 + 1);
        vm.expectRevert(
            abi.encodeWithSelector(LendingPool.BalanceTooLow.selector, borrower, 100_000e18 + 1, 100_000e18)
        );
        pool.repay(100_000e18 + 1);
    }

    /// @dev Deposits, borrowing within the limit, repaying, and withdrawing unencumbered collateral.
    function testFuzz_HonestUseStaysBacked(uint256 posted, uint256 borrowed, uint256 repaid) public {
        posted = bound(posted, 1e18, 100_000e18);
        borrowed = bound(borrowed, 0, posted * 2 * 75 / 100);
        repaid = bound(repaid, 0, borrowed);
        address user = makeAddr("user");
        collateral.mint(user, posted);
        vm.startPrank(user);
        collateral.approve(address(pool), posted);
        debt.approve(address(pool), type(uint256).max);

        pool.postCollateral(posted);
        assertTrue(pool.isBacked());
        pool.borrow(borrowed);
        assertTrue(pool.isBacked());
        pool.repay(repaid);
        assertTrue(pool.isBacked());
        if (repaid == borrowed) pool.withdrawCollateral(posted);
        assertTrue(pool.isBacked());
    }

    function test_RevertIf_StrangerBrakes() public {
        vm.expectRevert();
        pool.pause();
        vm.expectRevert();
        pool.setBorrowCap(1);
        vm.expectRevert();
        pool.setPrice(1);
    }

    function test_VaultLimitsWhatLeavesPerHour() public {
        vm.warp(1_800_000_000);
        Vault vault = new Vault(address(manager), debt, "Vault", "V");
        debt.mint(borrower, 1000e18);
        vm.startPrank(borrower);
        debt.approve(address(vault), type(uint256).max);
        vault.deposit(1000e18, borrower);
        vm.stopPrank();
        vm.prank(governance);
        vault.setWithdrawLimit(100e18);
        vm.startPrank(borrower);

        vault.withdraw(60e18, borrower, borrower);
        vm.expectRevert(abi.encodeWithSelector(Vault.WithdrawLimitReached.selector, 41e18, 40e18));
        vault.withdraw(41e18, borrower, borrower);
        vault.withdraw(40e18, borrower, borrower);
        assertEq(vault.withdrawableNow(), 0);
        vm.warp(vm.getBlockTimestamp() + 1 hours);
        assertEq(vault.withdrawableNow(), 100e18);
        vault.withdraw(100e18, borrower, borrower);
    }
}

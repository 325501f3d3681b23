// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/interfaces/IERC20.sol";
import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {Vault} from "../../demo/Vault.sol";
import {OutflowLimitedVault} from "../../src/adapters/outflow/OutflowLimitedVault.sol";
import {OutflowLimiter} from "../../src/adapters/outflow/OutflowLimiter.sol";
import {CallingToken} from "../mocks/CallingToken.sol";

/// @dev Over OpenZeppelin's ERC4626, which the demonstration's vault is.
contract OutflowLimitedVaultTest is Test {
    uint32 private constant WINDOW = 1 hours;
    uint256 private constant LIMIT = 100e18;

    address private governance = makeAddr("governance");
    address private alice = makeAddr("alice");
    address private bob = makeAddr("bob");

    AccessManager private manager;
    DemoToken private token;
    Vault private vault;
    OutflowLimitedVault private wrapper;

    function setUp() public {
        vm.warp(1_800_000_000);
        token = new DemoToken("Token", "T");
        manager = new AccessManager(governance);
        vault = new Vault(address(manager), token, "Vault", "V");
        wrapper = new OutflowLimitedVault(vault, governance, WINDOW, LIMIT, "Limited", "LV");
        for (uint256 i = 0; i < 2; i++) {
            address user = i == 0 ? alice : bob;
            token.mint(user, type(uint96).max);
            vm.startPrank(user);
            token.approve(address(wrapper), type(uint256).max);
            token.approve(address(vault), type(uint256).max);
            vm.stopPrank();
        }
    }

    function deposit(address user, uint256 assets) private returns (uint256 shares) {
        vm.prank(user);
        return wrapper.deposit(assets, user);
    }

    /// @dev The vault earns or is given something: its shares get a price.
    function earn(uint256 assets) private {
        token.mint(address(vault), assets);
    }

    function test_ItIsThePlainVaultButForTheLimit() public {
        deposit(bob, 3e18);
        earn(1e18);
        vm.prank(alice);
        uint256 sharesOfVault = vault.deposit(7e18, alice);
        uint256 shares = deposit(alice, 7e18);

        assertEq(shares, sharesOfVault);
        assertEq(wrapper.asset(), address(token));
        assertEq(wrapper.decimals(), vault.decimals());
        assertEq(wrapper.totalAssets(), vault.convertToAssets(wrapper.totalSupply()));
        assertEq(wrapper.convertToAssets(shares), vault.convertToAssets(shares));
        assertEq(wrapper.convertToShares(5e18), vault.convertToShares(5e18));
        assertEq(wrapper.previewDeposit(5e18), vault.previewDeposit(5e18));
        assertEq(wrapper.previewMint(5e18), vault.previewMint(5e18));
        assertEq(wrapper.previewWithdraw(5e18), vault.previewWithdraw(5e18));
        assertEq(wrapper.previewRedeem(5e18), vault.previewRedeem(5e18));
        assertEq(wrapper.maxDeposit(alice), vault.maxDeposit(alice));
        assertEq(wrapper.maxMint(alice), vault.maxMint(alice));
    }

    function testFuzz_EveryShareIsOneShareOfTheVault(uint96 first, uint96 second, uint96 earned, uint96 out)
        public
    {
        first = uint96(bound(first, 1, 1e27));
        second = uint96(bound(second, 1, 1e27));
        deposit(alice, first);
        earn(earned);
        vm.prank(bob);
        try wrapper.mint(second, bob) {} catch {}
        uint256 mine = wrapper.maxRedeem(alice);
        if (mine != 0) {
            vm.prank(alice);
            wrapper.redeem(bound(out, 1, mine), alice, alice);
        }

        assertEq(wrapper.totalSupply(), vault.balanceOf(address(wrapper)));
        assertEq(wrapper.balanceOf(alice) + wrapper.balanceOf(bob), wrapper.totalSupply());
        assertEq(token.balanceOf(address(wrapper)), 0, "nothing stays in the wrapper");
    }

    /// @dev There are tokens that refuse to transfer nothing.
    function test_AnExactQuoteSendsNothingBack() public {
        vm.expectCall(address(token), abi.encodePacked(IERC20.transfer.selector), 0);
        vm.prank(alice);
        wrapper.mint(1e18, alice);
    }

    /// @dev One share worth a fortune: a wrapper with a price of its own would round at the cost of its holders.
    function test_DearSharesAreNotRoundedAtTheCostOfOthers() public {
        deposit(alice, 1);
        earn(1e18);
        uint256 before = wrapper.convertToAssets(wrapper.balanceOf(alice));

        vm.prank(bob);
        wrapper.deposit(1.9e18, bob);

        assertGe(wrapper.convertToAssets(wrapper.balanceOf(alice)), before);
    }

    function testFuzz_NoMoreThanTheLimitLeavesInAWindow(uint96 assets, uint32 wait, bool redeems) public {
        deposit(alice, 10 * LIMIT);
        vm.prank(alice);
        wrapper.withdraw(LIMIT - 1e18, alice, alice);
        skip(bound(wait, 0, WINDOW));
        uint256 left = LIMIT - (LIMIT - 1e18);
        assets = uint96(bound(assets, left + 1, 9 * LIMIT));

        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(OutflowLimiter.OutflowLimitReached.selector, assets, left));
        if (redeems) wrapper.redeem(assets, alice, alice);
        else wrapper.withdraw(assets, alice, alice);
    }

    function testFuzz_WhatMaxSaysCanLeaveAndNoMore(uint96 assets, uint96 earned, uint96 limit) public {
        deposit(alice, bound(assets, 1, 1e27));
        deposit(bob, 5e18);
        earn(bound(earned, 0, 1e27));
        vm.prank(governance);
        wrapper.setOutflowLimit(limit);
        uint256 snapshot = vm.snapshotState();

        uint256 most = wrapper.maxWithdraw(alice);
        assertLe(most, limit);
        vm.prank(alice);
        wrapper.withdraw(most, alice, alice);
        vm.revertToState(snapshot);
        uint256 mostShares = wrapper.maxRedeem(alice);
        assertLe(mostShares, wrapper.balanceOf(alice));
        vm.prank(alice);
        assertLe(wrapper.redeem(mostShares, alice, alice), limit);
    }

    /// @dev At any price, however it rounds.
    function testFuzz_SharesWorthTheLimitMayLeaveWhole(uint96 assets, uint96 earned) public {
        deposit(bob, 5e18);
        earn(bound(earned, 0, 1e27));
        uint256 shares = deposit(alice, bound(assets, 1e10, 1e27));
        uint256 worth = wrapper.previewRedeem(shares);
        vm.prank(governance);
        wrapper.setOutflowLimit(worth);

        assertEq(wrapper.maxRedeem(alice), shares);
        vm.prank(alice);
        wrapper.redeem(shares, alice, alice);
        assertEq(wrapper.outflowLeft(), 0);
    }

    function test_TellsOfWhatComesAndGoes() public {
        vm.startPrank(alice);
        vm.expectEmit(address(wrapper));
        emit IERC4626.Deposit(alice, bob, 4e18, 4e18);
        wrapper.deposit(4e18, bob);
        vm.expectEmit(address(wrapper));
        emit IERC4626.Deposit(alice, bob, 3e18, 3e18);
        wrapper.mint(3e18, bob);
        vm.stopPrank();

        vm.startPrank(bob);
        vm.expectEmit(address(wrapper));
        emit IERC4626.Withdraw(bob, alice, bob, 2e18, 2e18);
        wrapper.withdraw(2e18, alice, bob);
        vm.expectEmit(address(wrapper));
        emit IERC4626.Withdraw(bob, alice, bob, 1e18, 1e18);
        wrapper.redeem(1e18, alice, bob);
    }

    function test_LimitOfTheVaultItselfHoldsToo() public {
        deposit(alice, 10e18);
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Vault.pause.selector;
        vm.startPrank(governance);
        manager.setTargetFunctionRole(address(vault), selectors, 7);
        manager.grantRole(7, governance, 0);
        vault.pause();
        vm.stopPrank();

        vm.prank(alice);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        wrapper.withdraw(1, alice, alice);
        assertEq(wrapper.outflowLeft(), LIMIT, "what did not leave is not counted");
    }

    function test_RevertIf_SomebodyElseTakesSharesOut() public {
        deposit(alice, 10e18);

        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, bob, 0, 1));
        wrapper.redeem(1, bob, alice);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, bob, 0, 1));
        wrapper.withdraw(1, bob, alice);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, bob, 0, 1));
        wrapper.withdraw(1, bob, bob);
    }

    function test_AnAllowanceLetsAnotherTakeSharesOut() public {
        deposit(alice, 10e18);
        vm.prank(alice);
        wrapper.approve(bob, 4e18);
        uint256 before = token.balanceOf(bob);

        vm.startPrank(bob);
        wrapper.redeem(1e18, bob, alice);
        wrapper.withdraw(3e18, bob, alice);

        assertEq(token.balanceOf(bob) - before, 4e18);
        assertEq(wrapper.allowance(alice, bob), 0);
        assertEq(wrapper.balanceOf(alice), 6e18);
    }

    function test_MintTakesWhatTheVaultAsks() public {
        deposit(bob, 3e18);
        earn(1e18);
        uint256 before = token.balanceOf(alice);
        vm.prank(alice);
        uint256 assets = wrapper.mint(2e18, alice);

        assertEq(wrapper.balanceOf(alice), 2e18);
        assertEq(before - token.balanceOf(alice), assets);
        assertEq(assets, vault.previewMint(2e18));
    }

    function test_MintGivesBackWhatAVaultQuotedTooMuch() public {
        uint256 before = token.balanceOf(alice);
        vm.mockCall(address(vault), abi.encodeCall(vault.previewMint, (2e18)), abi.encode(3e18));
        vm.prank(alice);

        assertEq(wrapper.mint(2e18, alice), 2e18);
        assertEq(before - token.balanceOf(alice), 2e18);
        assertEq(token.balanceOf(address(wrapper)), 0);
    }

    /// @dev Between the vault's books and the wrapper's nobody gets a turn.
    function test_T33_NothingReentersFromWithinATransfer() public {
        CallingToken hooked = new CallingToken();
        vault = new Vault(address(manager), hooked, "Vault", "V");
        wrapper = new OutflowLimitedVault(vault, governance, WINDOW, LIMIT, "Limited", "LV");
        hooked.mint(alice, 100e18);
        vm.startPrank(alice);
        hooked.approve(address(wrapper), type(uint256).max);
        wrapper.deposit(5e18, alice);
        bytes[4] memory outer = [
            abi.encodeCall(wrapper.deposit, (1e18, alice)),
            abi.encodeCall(wrapper.mint, (1e18, alice)),
            abi.encodeCall(wrapper.withdraw, (1e18, alice, alice)),
            abi.encodeCall(wrapper.redeem, (1e18, alice, alice))
        ];
        // What the token could do in its own name.
        bytes[4] memory inner = [
            abi.encodeCall(wrapper.deposit, (0, alice)),
            abi.encodeCall(wrapper.mint, (0, alice)),
            abi.encodeCall(wrapper.withdraw, (0, alice, address(hooked))),
            abi.encodeCall(wrapper.redeem, (0, alice, address(hooked)))
        ];

        for (uint256 i = 0; i < 16; i++) {
            hooked.setHook(address(wrapper), inner[i % 4]);
            (bool ok,) = address(wrapper).call(outer[i / 4]);
            assertTrue(ok);
            assertFalse(hooked.hookOk());
            assertEq(
                hooked.hookAnswer(),
                abi.encodePacked(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
        }
    }

    function testFuzz_RevertIf_AnybodyButTheOwnerSetsTheLimit(address caller) public {
        vm.assume(caller != governance);
        bytes memory reason = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, caller);

        vm.startPrank(caller);
        vm.expectRevert(reason);
        wrapper.setOutflowLimit(1);
        vm.expectRevert(reason);
        wrapper.setOutflowLimiter(caller);
    }

    function test_OwnerNamesTheLimiterAndTheLimiterBrakes() public {
        vm.prank(governance);
        wrapper.setOutflowLimiter(alice);
        vm.prank(alice);
        wrapper.brakeOutflow(1e18);
        deposit(bob, 5e18);

        assertEq(wrapper.maxWithdraw(bob), 1e18);
        vm.prank(governance);
        wrapper.setOutflowLimit(2e18);
        assertEq(wrapper.maxWithdraw(bob), 2e18);
    }
}

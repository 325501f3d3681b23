// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {GuardMarket} from "../../examples/market/GuardMarket.s.sol";
import {LendingMarket} from "../../examples/market/LendingMarket.sol";
import {Outcome} from "../../src/interfaces/IGuardian.sol";
import {IGuardianEvents} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Integrated} from "./Integrated.sol";

contract GuardMarketOfThisBuild is GuardMarket {
    function creationCode(string memory name) internal view override returns (bytes memory) {
        return vm.getCode(string.concat(name, ".sol:", name));
    }
}

contract GuardMarketTest is Integrated {
    string private constant CAP = "cap-borrowing";
    string private constant FREEZE = "freeze";
    string private constant PAUSE_MARKET = "pause";
    uint256 private constant BORROW_CAP = 350e18;

    address private lender = makeAddr("lender");
    address private borrower = makeAddr("borrower");
    DemoToken private asset;
    DemoToken private collateral;
    AccessManager private manager;
    LendingMarket private market;
    GuardMarket private script;
    GuardMarket.Adapters private adapters;

    /// @dev The lender has supplied 900 of its 1,000; the borrower owes 300 against 400 of collateral at price 1.
    function setUp() public {
        setUpChain();
        asset = new DemoToken("Asset", "AST");
        collateral = new DemoToken("Collateral", "COL");
        manager = new AccessManager(owner);
        market = new LendingMarket(address(manager), asset, collateral, 1e18);
        fund(asset, lender, address(market));
        fund(collateral, borrower, address(market));
        vm.prank(lender);
        market.supply(900e18);
        vm.startPrank(borrower);
        market.postCollateral(400e18);
        market.borrow(300e18);
        asset.approve(address(market), type(uint256).max);
        vm.stopPrank();

        script = new GuardMarketOfThisBuild();
        (guardian, adapters) = script.prepare(factory, market, owner, BORROW_CAP);
        script.connect(factory, market, owner, BORROW_CAP);
        approvePolicy();
    }

    function test_EveryBrakeIsReadyAndUsersNoticeNothing() public {
        expectReadiness(CAP, bytes32(0));
        expectReadiness(FREEZE, bytes32(0));
        expectReadiness(PAUSE_MARKET, bytes32(0));

        vm.startPrank(borrower);
        market.postCollateral(400e18);
        market.borrow(300e18);
        assertEq(market.totalDebt(), 600e18);
    }

    function test_GovernanceCanDoWhatItCouldBefore() public {
        vm.startPrank(owner);

        market.setBorrowCap(1);
        market.setFrozen(true);
        market.pause();
        market.unpause();
        market.setPrice(2e18);
    }

    /// @dev One alert names the three actions; as more operators sign it, it is good for the next rung.
    function test_GrowingCertificateClimbsTheLadder() public {
        Alert memory alert = makeAlert();
        bytes32[] memory ladder = new bytes32[](3);
        ladder[0] = actionsOf(CAP)[0];
        ladder[1] = actionsOf(FREEZE)[0];
        ladder[2] = actionsOf(PAUSE_MARKET)[0];
        bytes4 tooFew = QuorumVerifier.QuorumNotReached.selector;

        expectRefused(tooFew, alert, ladder, 0, CAP, 2);
        assertTrue(deliver(alert, ladder, 0, CAP, 3) == Outcome.Acted);
        assertEq(market.borrowCap(), BORROW_CAP);

        expectRefused(tooFew, alert, ladder, 1, FREEZE, 3);
        assertTrue(deliver(alert, ladder, 1, FREEZE, 4) == Outcome.Acted);
        assertTrue(market.frozen());

        expectRefused(tooFew, alert, ladder, 2, PAUSE_MARKET, 4);
        assertTrue(deliver(alert, ladder, 2, PAUSE_MARKET, 5) == Outcome.Acted);
        assertTrue(market.paused());
    }

    function test_CapBoundsWhatCanStillBeLent() public {
        brake(CAP);

        vm.startPrank(borrower);
        market.postCollateral(600e18);
        market.borrow(50e18);
        vm.expectRevert(abi.encodeWithSelector(LendingMarket.BorrowCapReached.selector, 351e18, BORROW_CAP));
        market.borrow(1e18);
        vm.stopPrank();

        // what stood there before comes back
        expireAfter(CAP, 24 hours);
        assertEq(market.borrowCap(), type(uint256).max);
    }

    function test_FreezeRefusesNewRiskAndLeavesEveryWayOutOpen() public {
        brake(FREEZE);

        vm.startPrank(borrower);
        vm.expectRevert(LendingMarket.MarketFrozen.selector);
        market.borrow(1);
        market.postCollateral(1e18);
        market.repay(borrower, 300e18);
        market.withdrawCollateral(401e18);
        vm.stopPrank();
        vm.startPrank(lender);
        vm.expectRevert(LendingMarket.MarketFrozen.selector);
        market.supply(1);
        market.withdraw(900e18);
        vm.stopPrank();

        assertEq(collateral.balanceOf(borrower), 1000e18);
        assertEq(asset.balanceOf(lender), 1000e18);
    }

    function test_LiquidationsGoOnWhileFrozen() public {
        brake(FREEZE);
        vm.prank(owner);
        market.setPrice(0.8e18);

        vm.prank(lender);
        asset.approve(address(market), 80e18);
        vm.prank(lender);
        // 80 at 0.8, and 5 %
        assertEq(market.liquidate(borrower, 80e18), 105e18);
    }

    function test_PauseStopsAllButRepaying() public {
        brake(PAUSE_MARKET);

        vm.startPrank(borrower);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        market.withdrawCollateral(1);
        market.repay(borrower, 100e18);
        vm.stopPrank();
        vm.prank(lender);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        market.withdraw(1);

        expireAfter(PAUSE_MARKET, 4 hours);
        vm.prank(lender);
        market.withdraw(600e18);
    }

    function test_OwnerLiftsAtOnceWhatItWantsAndKeepsTheRest() public {
        brake(FREEZE);
        brake(PAUSE_MARKET);

        liftNow(PAUSE_MARKET);

        assertFalse(market.paused());
        assertTrue(market.frozen());
    }

    function test_CapThatGovernanceMadeTighterStays() public {
        vm.prank(owner);
        market.setBorrowCap(BORROW_CAP - 1);

        assertTrue(brake(CAP) == Outcome.AlreadyActive);
        assertEq(market.borrowCap(), BORROW_CAP - 1);
    }

    function test_EachAdapterReachesItsOwnFunctionsOnly() public {
        vm.startPrank(adapters.cap);
        vm.expectRevert(
            abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, adapters.cap)
        );
        market.pause();
        vm.expectRevert(
            abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, adapters.cap)
        );
        market.setPrice(1);
    }

    function test_GovernanceTakesOneRightBack() public {
        uint64 role = script.PAUSE_ROLE();
        vm.prank(owner);
        manager.revokeRole(role, adapters.pause);

        expectReadiness(PAUSE_MARKET, "NO_RIGHT_TO_PAUSE");
        expectReadiness(FREEZE, bytes32(0));
        expectRefused(
            IGuardianEvents.ActionFailed.selector, makeAlert(), actionsOf(PAUSE_MARKET), 0, PAUSE_MARKET, 7
        );
    }

    function test_SecondRunSendsNothing() public {
        vm.startStateDiffRecording();
        script.prepare(factory, market, owner, BORROW_CAP);
        script.connect(factory, market, owner, BORROW_CAP);
        expectNoTransaction(vm.stopAndReturnStateDiff());
    }
}

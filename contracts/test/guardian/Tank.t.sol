// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Vm} from "forge-std/Vm.sol";
import {Ownable} from "solady/auth/Ownable.sol";
import {
    ActionConfig,
    BatchItem,
    IGuardianEvents,
    Level,
    LiftTerms,
    Outcome,
    TankTerms
} from "../../src/interfaces/IGuardianEvents.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {GuardianTank} from "../../src/guardian/GuardianTank.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Guarded} from "../support/Guarded.sol";

/// @title Submitter: a contract that delivers, and does with the payment what the test says. For tests.
contract Submitter {
    enum Receipt {
        Takes,
        Refuses,
        BurnsGas,
        Reenters
    }

    Receipt private _receipt;
    address private _guardian;
    bytes private _again;
    bool public reentered;
    bytes public answer;

    function setReceipt(Receipt receipt) external {
        _receipt = receipt;
    }

    function setAgain(address guardian, bytes calldata again) external {
        (_receipt, _guardian, _again) = (Receipt.Reenters, guardian, again);
    }

    function send(address guardian, bytes calldata data) external returns (bytes memory) {
        (bool ok, bytes memory returned) = guardian.call(data);
        require(ok, "refused");
        return returned;
    }

    receive() external payable {
        if (_receipt == Receipt.Refuses) revert("no");
        if (_receipt == Receipt.BurnsGas) {
            while (true) {}
        }
        if (_receipt == Receipt.Reenters) (reentered, answer) = _guardian.call(_again);
    }
}

/// @title BareTank: a tank that pays for what it is told. For tests.
contract BareTank is GuardianTank {
    constructor() payable {
        _tank = Tank({
            maxPerResponse: 1 ether, maxPerWindow: 2 ether, window: 1 days, tipCap: 0, budgetFullAt: 0
        });
    }

    function refundDelivery(uint256 certificateBytes) external nonReentrant {
        _refundDelivery(certificateBytes);
    }
}

/// @notice Ether for those who submit, and every way to get more of it than the gas cost.
contract TankTest is Guarded {
    uint72 private constant PER_RESPONSE = 0.02 ether;
    uint72 private constant PER_WINDOW = 0.06 ether;
    uint48 private constant TIP_CAP = 2 gwei;
    uint256 private constant BASE_FEE = 10 gwei;

    Submitter private submitter;

    function setUp() public {
        setUpGuardian();
        submitter = new Submitter();
        vm.fee(BASE_FEE);
        vm.txGasPrice(BASE_FEE + 1 gwei);
        vm.prank(owner);
        guardian.setTank(
            TankTerms({
                maxPerResponse: PER_RESPONSE, maxPerWindow: PER_WINDOW, window: WINDOW, tipCap: TIP_CAP
            })
        );
        vm.deal(address(this), 100 ether);
        (bool ok,) = address(guardian).call{value: 10 ether}("");
        assertTrue(ok);
    }

    receive() external payable {}

    function respondCall(Alert memory alert, bytes32 actionId) private view returns (bytes memory) {
        bytes32[] memory leaves_ = leavesOf(actionId, "");
        return
            abi.encodeCall(guardian.respond, (alert, leaves_, 0, actionId, "", certifyAlert(alert, leaves_)));
    }

    function respondCall() private view returns (bytes memory) {
        return respondCall(makeAlert(), PAUSE);
    }

    /// @dev What the submitter got for a call.
    function pay(bytes memory data) private returns (uint256) {
        uint256 before = address(submitter).balance;
        submitter.send(address(guardian), data);
        return address(submitter).balance - before;
    }

    // ---- what is paid

    function test_PaysForAResponse() public {
        bytes memory data = respondCall();
        vm.expectEmit(true, false, false, false, address(guardian));
        emit IGuardianEvents.Refunded(address(submitter), 0, 0);

        uint256 paid = pay(data);

        // The figures of a real transaction stand in the Python tests; here: about 220,000 gas at 11 gwei.
        assertGt(paid, 180_000 * (BASE_FEE + 1 gwei));
        assertLt(paid, 320_000 * (BASE_FEE + 1 gwei));
        assertEq(address(guardian).balance, 10 ether - paid);
    }

    /// @dev By a tank alone: of a delivery's gas only the part that is not measured can be told apart.
    function test_PaysAFixedOverheadAndFifteenGasForEachByteOfTheCertificate() public {
        BareTank tank = new BareTank{value: 1 ether}();
        vm.fee(1);
        vm.txGasPrice(1);
        uint256 snapshot = vm.snapshotState();
        uint256 before = address(this).balance;
        tank.refundDelivery(0);
        uint256 withoutBytes = address(this).balance - before;
        vm.revertToStateAndDelete(snapshot);

        tank.refundDelivery(1000);

        assertEq(address(this).balance - before, withoutBytes + 15_000);
        assertGt(withoutBytes, 41_000);
        assertLt(withoutBytes, 61_000, "and what was measured");
    }

    function test_PaysTheSendersPriceUpToBaseFeeAndTip() public {
        uint256[3] memory prices = [BASE_FEE + 1 gwei, BASE_FEE + TIP_CAP, BASE_FEE + TIP_CAP + 1 gwei];
        uint256[3] memory paid;
        bytes memory data = respondCall();
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            vm.txGasPrice(prices[i]);
            paid[i] = pay(data);
            vm.revertToStateAndDelete(snapshot);
        }

        assertEq(paid[0] * prices[1], paid[1] * prices[0]);
        assertEq(paid[2], paid[1]);
    }

    function test_PaysForAnExpiry() public {
        submitter.send(address(guardian), respondCall());
        vm.warp(untilOf(PAUSE));

        uint256 paid = pay(abi.encodeCall(guardian.expire, (PAUSE)));

        assertGt(paid, 40_000 * (BASE_FEE + 1 gwei));
        assertLt(paid, 120_000 * (BASE_FEE + 1 gwei));
    }

    function test_PaysForAnAllClear() public {
        vm.prank(owner);
        guardian.setLiftTerms(PAUSE, LiftTerms({minHold: 0, graceAction: 0, graceSeconds: 0}));
        submitter.send(address(guardian), respondCall());
        advance(1);
        Alert memory alert = makeClear();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);

        uint256 paid = pay(abi.encodeCall(guardian.clear, (alert, leaves_, 0, PAUSE, "", certificate)));

        assertGt(paid, 0);
    }

    function test_PaysNothingWithoutAnEffect() public {
        bytes memory data = respondCall();
        submitter.send(address(guardian), data);

        assertEq(pay(data), 0, "a second delivery");
        vm.prank(owner);
        guardian.lift(PAUSE);
        target.pause();
        advance(COOLDOWN + 1);
        assertEq(pay(respondCall()), 0, "governance was there first");
    }

    function test_PaysNothingForABatchOfWhichAllFails() public {
        target.setMode(HostileTarget.Mode.Reverts);
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        BatchItem[] memory items = new BatchItem[](1);
        items[0] = BatchItem({leafIndex: 0, actionId: PAUSE, params: ""});

        assertEq(
            pay(abi.encodeCall(guardian.respondMany, (alert, leaves_, items, certifyAlert(alert, leaves_)))),
            0
        );
    }

    function test_PaysNothingForAnAlertThatOnlySpeaks() public {
        ActionConfig memory tell;
        (tell.level, tell.thresholdBps) = (Level.Alert, 3334);
        configure("tell", tell);

        assertEq(pay(respondCall(makeAlert(), "tell")), 0);
    }

    function test_AnEmptyTankOrNoTermsDelayNothing() public {
        vm.prank(owner);
        guardian.withdraw(payable(owner), 10 ether);
        assertEq(pay(respondCall()), 0);
        assertTrue(target.paused());

        vm.prank(owner);
        guardian.lift(PAUSE);
        advance(COOLDOWN + 1);
        vm.deal(address(guardian), 1 ether);
        vm.prank(owner);
        guardian.setTank(TankTerms({maxPerResponse: 0, maxPerWindow: 0, window: 0, tipCap: 0}));
        assertEq(pay(respondCall()), 0);
        assertTrue(target.paused());
    }

    function test_PaysWhatIsLeftWhenThatIsLess() public {
        vm.prank(owner);
        guardian.withdraw(payable(owner), 10 ether - 1000);

        assertEq(pay(respondCall()), 1000);
        assertTrue(target.paused());
    }

    // ---- attacks

    function test_AHighGasPriceIsPaidUpToBaseFeeAndTheOwnersTip() public {
        bytes memory data = respondCall();
        uint256 snapshot = vm.snapshotState();
        vm.txGasPrice(BASE_FEE + TIP_CAP);
        uint256 fair = pay(data);
        vm.revertToStateAndDelete(snapshot);
        vm.txGasPrice(10_000 gwei);

        uint256 paid = pay(data);

        assertApproxEqRel(paid, fair, 0.01e18);
    }

    /// @dev Who makes the block pays the tip to itself; the base fee is burnt whatever it does.
    function test_TheBlocksOwnProducerGainsTheTipCapAtMost() public {
        vm.coinbase(address(submitter));
        vm.txGasPrice(10_000 gwei);

        uint256 paid = pay(respondCall());

        assertLt(paid, 320_000 * (BASE_FEE + TIP_CAP));
    }

    function test_OneTransactionGetsNoMoreThanTheCap() public {
        vm.fee(1000 gwei);
        vm.txGasPrice(1000 gwei);

        assertEq(pay(respondCall()), PER_RESPONSE);
    }

    /// @dev Three restrictions and their ends in a day would cost more than the owner allows.
    function test_AllTogetherGetNoMoreThanTheWindowsBudget() public {
        vm.fee(1000 gwei);
        vm.txGasPrice(1000 gwei);
        uint256 paid = 0;
        uint256 end = vm.getBlockTimestamp() + WINDOW;
        while (vm.getBlockTimestamp() < end) {
            paid += pay(respondCall());
            vm.prank(owner);
            guardian.lift(PAUSE);
            advance(COOLDOWN + 1);
        }

        assertLe(paid, PER_WINDOW);
        assertGt(paid, PER_WINDOW - 2 * PER_RESPONSE);
        assertEq(address(guardian).balance, 10 ether - paid);
    }

    function test_ManyGuardedActionsInOneBatchArePaidOnce() public {
        bytes32[3] memory ids = [PAUSE, keccak256("a"), keccak256("b")];
        addAction(ids[1], Level.Limit, 3334);
        addAction(ids[2], Level.Limit, 3334);
        bytes32[] memory leaves_ = new bytes32[](3);
        BatchItem[] memory items = new BatchItem[](3);
        for (uint256 i = 0; i < 3; ++i) {
            leaves_[i] = leavesOf(ids[i], "")[0];
            items[i] = BatchItem({leafIndex: i, actionId: ids[i], params: ""});
        }
        Alert memory alert = makeAlert();
        bytes memory data =
            abi.encodeCall(guardian.respondMany, (alert, leaves_, items, certifyAlert(alert, leaves_)));
        vm.recordLogs();

        pay(data);

        assertEq(countRefunds(), 1);
    }

    function countRefunds() private returns (uint256 count) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == IGuardianEvents.Refunded.selector) ++count;
        }
    }

    /// @dev A batch that is stuffed with what fails, or with what is there, is paid for what it did.
    function test_ItemsWithoutEffectAreAtTheSendersCost() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        BatchItem[] memory one = new BatchItem[](1);
        one[0] = BatchItem({leafIndex: 0, actionId: PAUSE, params: ""});
        BatchItem[] memory stuffed = new BatchItem[](60);
        for (uint256 i = 0; i < 60; ++i) {
            stuffed[i] = BatchItem({leafIndex: 0, actionId: i % 2 == 0 ? PAUSE : bytes32("x"), params: ""});
        }
        uint256 snapshot = vm.snapshotState();
        uint256 fair = pay(abi.encodeCall(guardian.respondMany, (alert, leaves_, one, certificate)));
        vm.revertToStateAndDelete(snapshot);

        uint256 paid = pay(abi.encodeCall(guardian.respondMany, (alert, leaves_, stuffed, certificate)));

        // Sixty items cost a million gas; what is left of that is the loop around them.
        assertLt(paid - fair, 100_000 * (BASE_FEE + 1 gwei));
    }

    function test_HugeCalldataIsAtTheSendersCost() public {
        bytes memory data = respondCall();
        uint256 snapshot = vm.snapshotState();
        uint256 fair = pay(data);
        vm.revertToStateAndDelete(snapshot);

        uint256 paid = pay(bytes.concat(data, new bytes(100_000)));

        assertApproxEqRel(paid, fair, 0.01e18);
    }

    function test_ThePaymentCannotBeUsedToReenter() public {
        bytes[3] memory again = [
            respondCall(),
            abi.encodeCall(guardian.expire, (PAUSE)),
            abi.encodeCall(guardian.dryRun, (PAUSE, bytes("")))
        ];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            submitter.setAgain(address(guardian), again[i]);

            uint256 paid = pay(respondCall());

            // Ten thousand gas do not suffice for it, and the lock would hold if they did.
            assertFalse(submitter.reentered());
            assertLe(paid, PER_RESPONSE);
            assertTrue(target.paused());
            vm.revertToStateAndDelete(snapshot);
        }
    }

    function test_WhoRefusesThePaymentStopsNothing() public {
        for (uint8 receipt = 1; receipt <= 2; ++receipt) {
            uint256 snapshot = vm.snapshotState();
            submitter.setReceipt(Submitter.Receipt(receipt));
            bytes memory data = respondCall();
            vm.expectEmit(true, false, false, false, address(guardian));
            emit IGuardianEvents.RefundFailed(address(submitter), 0, 0);

            assertEq(pay(data), 0);

            assertTrue(target.paused());
            assertEq(address(guardian).balance, 10 ether);
            vm.revertToStateAndDelete(snapshot);
        }
    }

    /// @dev I1 and T-32 with a tank: paying must not open a way to act without paying attention to gas.
    function test_NoGasLimitPaysWithoutAnEffect() public {
        bytes memory data = abi.encodeCall(submitter.send, (address(guardian), respondCall()));
        for (uint256 gasLimit = 150_000; gasLimit < 750_000; gasLimit += 2000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(submitter).call{gas: gasLimit}(data);
            assertEq(ok, target.paused());
            if (!ok) assertEq(address(guardian).balance, 10 ether);
            vm.revertToStateAndDelete(snapshot);
        }
    }

    // ---- the owner

    function test_AnybodyFillsTheOwnerEmpties() public {
        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Deposited(address(this), 1 ether);
        (bool ok,) = address(guardian).call{value: 1 ether}("");
        assertTrue(ok);

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Withdrawn(owner, 11 ether);
        vm.prank(owner);
        guardian.withdraw(payable(owner), 11 ether);

        assertEq(owner.balance, 11 ether);
    }

    function test_RevertIf_StrangerEmptiesOrSetsTheTank() public {
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.withdraw(payable(address(this)), 1);
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.setTank(TankTerms({maxPerResponse: 0, maxPerWindow: 0, window: 0, tipCap: 0}));
    }

    function test_RevertIf_MoreIsWithdrawnThanIsThereOrTheReceiverRefuses() public {
        vm.startPrank(owner);
        vm.expectRevert(
            abi.encodeWithSelector(IGuardianEvents.WithdrawalFailed.selector, owner, 10 ether + 1)
        );
        guardian.withdraw(payable(owner), 10 ether + 1);
        submitter.setReceipt(Submitter.Receipt.Refuses);
        vm.expectRevert(
            abi.encodeWithSelector(IGuardianEvents.WithdrawalFailed.selector, address(submitter), 1)
        );
        guardian.withdraw(payable(address(submitter)), 1);
    }

    function test_RevertIf_TheTermsDoNotBoundTheWindow() public {
        TankTerms[3] memory wrong = [
            TankTerms({maxPerResponse: 2, maxPerWindow: 3, window: 1 days, tipCap: 0}),
            TankTerms({maxPerResponse: 2, maxPerWindow: 4, window: 0, tipCap: 0}),
            TankTerms({maxPerResponse: 2, maxPerWindow: 4, window: 180 days + 1, tipCap: 0})
        ];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(owner);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IGuardianEvents.TankTermsInvalid.selector,
                    wrong[i].maxPerResponse,
                    wrong[i].maxPerWindow,
                    wrong[i].window,
                    180 days
                )
            );
            guardian.setTank(wrong[i]);
        }
    }

    function test_TermsReadBackAsSet() public {
        TankTerms memory terms = TankTerms({maxPerResponse: 5, maxPerWindow: 10, window: 180 days, tipCap: 7});
        vm.expectEmit(address(guardian));
        emit IGuardianEvents.TankSet(terms, 0);
        vm.prank(owner);
        guardian.setTank(terms);

        (TankTerms memory given, uint40 fullAt) = guardian.tank();
        assertEq(abi.encode(given), abi.encode(terms));
        assertEq(fullAt, 0);
    }

    function test_ShorterWindowForgivesNoMoreThanAnEmptyTank() public {
        submitter.send(address(guardian), respondCall());
        vm.prank(owner);
        guardian.setTank(
            TankTerms({maxPerResponse: PER_RESPONSE, maxPerWindow: PER_WINDOW, window: 1, tipCap: 0})
        );

        (, uint40 fullAt) = guardian.tank();
        assertEq(fullAt, vm.getBlockTimestamp() + 1);
    }
}

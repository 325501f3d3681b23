// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {Administered} from "../../src/adapters/Administered.sol";
import {EmergencyWithdrawalAdapter, Withdrawal} from "../../src/adapters/EmergencyWithdrawalAdapter.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {FeeToken} from "../mocks/FeeToken.sol";
import {Treasury} from "../mocks/Treasury.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

contract EmergencyWithdrawalAdapterTest is AdapterProperties {
    uint32 private constant DELAY = 6 hours;
    uint32 private constant WINDOW = 1 days;
    uint256 private constant FUNDS = 1_000e18;
    bytes32 private constant RESCUER_ROLE = keccak256("RESCUER_ROLE");

    address private vaultOfGovernance = makeAddr("vaultOfGovernance");
    DemoToken private token;
    Treasury private treasury;
    EmergencyWithdrawalAdapter private rescue;

    function setUp() public {
        vm.warp(1_800_000_000);
        token = new DemoToken("T", "T");
        treasury = new Treasury(governance);
        token.mint(address(treasury), FUNDS);
        vm.deal(address(treasury), FUNDS);
        target = address(treasury);
        use(withdrawalOf(address(token)));
    }

    function use(Withdrawal memory withdrawal) private {
        rescue = new EmergencyWithdrawalAdapter(guardian, target, governance, withdrawal);
        adapter = rescue;
    }

    /// @dev `rescue(asset, to, 0)`
    function withdrawalOf(address asset) private view returns (Withdrawal memory) {
        return Withdrawal({
            asset: asset,
            recipient: vaultOfGovernance,
            callBefore: abi.encodePacked(Treasury.rescue.selector, uint256(uint160(asset))),
            callAfter: abi.encode(0),
            rightProbe: abi.encodePacked(IAccessControl.hasRole.selector, RESCUER_ROLE),
            delaySeconds: DELAY,
            windowSeconds: WINDOW,
            minGas: 200_000
        });
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new EmergencyWithdrawalAdapter(guardian_, target_, governance, withdrawalOf(address(token)));
    }

    function grantRight() internal override {
        vm.prank(governance);
        treasury.grantRole(RESCUER_ROLE, address(adapter));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NO_RIGHT_TO_WITHDRAW";
    }

    function isRestricted() internal view override returns (bool) {
        return rescue.executed() || rescue.readyAt() != 0;
    }

    function liftByGovernance() internal override {
        vm.prank(governance);
        rescue.cancel();
    }

    /// @dev More than nine tenths of the weight.
    function floorBps() internal pure override returns (uint16) {
        return 9_000;
    }

    /// @dev Scheduling asks nothing of the target; the withdrawal itself does.
    function test_RevertIf_TheRightIsMissing() public override {
        engage();
        skip(DELAY);

        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        rescue.execute();
    }

    /// @dev As above.
    function test_T33_OfATargetWithoutCodeNothingIsKnownAndNothingDone() public override {
        scheduleAndWait();
        vm.etch(target, "");

        (bool ok,) = adapter.ready();
        assertFalse(ok);
        vm.expectRevert(abi.encodeWithSelector(IAdapter.TargetFailed.selector, target, ""));
        rescue.execute();
    }

    function test_T33_WhatAHostileTargetAnswersIsNotCopied() public override {
        scheduleAndWait();
        treasury.setMode(Treasury.Mode.ReturnsMegabytes);

        uint256 before = gasleft();
        rescue.execute{gas: 5_000_000}();

        assertLt(before - gasleft(), 2_800_000, "one megabyte once, by the target itself");
    }

    function scheduleAndWait() private {
        grantRight();
        engage();
        skip(DELAY);
    }

    function expectNothingMoved() private view {
        assertEq(token.balanceOf(target), FUNDS);
        assertEq(token.balanceOf(vaultOfGovernance), 0);
        assertEq(token.balanceOf(treasury.THIEF()), 0);
        assertFalse(rescue.executed());
        assertNotEq(rescue.readyAt(), 0);
    }

    // ---- threshold, delay, window

    function test_EngagingOnlySchedules() public {
        grantRight();
        uint64 time = uint64(vm.getBlockTimestamp());
        vm.expectEmit(address(rescue));
        emit EmergencyWithdrawalAdapter.Scheduled(time + DELAY, time + DELAY + WINDOW);
        engage();

        expectNothingMoved();
        assertEq(rescue.readyAt(), time + DELAY);
        assertEq(rescue.closesAt(), time + DELAY + WINDOW);
    }

    function testFuzz_AnyoneExecutesInTheWindow(address caller, uint256 wait) public {
        scheduleAndWait();
        skip(bound(wait, 0, WINDOW));

        vm.expectEmit(address(rescue));
        emit EmergencyWithdrawalAdapter.Withdrawn(address(token), vaultOfGovernance, FUNDS);
        vm.prank(caller);
        rescue.execute();

        assertEq(token.balanceOf(vaultOfGovernance), FUNDS);
        assertEq(token.balanceOf(target), 0);
        assertTrue(adapter.engaged());
    }

    function testFuzz_RevertIf_ItIsTooEarlyOrTooLate(uint256 wait) public {
        wait = bound(wait, 0, 365 days);
        vm.assume(wait < DELAY || wait > DELAY + WINDOW);
        grantRight();
        engage();
        uint64 from = rescue.readyAt();
        skip(wait);

        vm.expectRevert(
            abi.encodeWithSelector(
                EmergencyWithdrawalAdapter.NotExecutable.selector, from, from + WINDOW, vm.getBlockTimestamp()
            )
        );
        rescue.execute();
        expectNothingMoved();
    }

    function test_TheWindowIsOpenToItsLastSecondAndNoLonger() public {
        scheduleAndWait();
        uint256 last = rescue.closesAt();
        vm.warp(last + 1);
        vm.expectPartialRevert(EmergencyWithdrawalAdapter.NotExecutable.selector);
        rescue.execute();

        vm.warp(last);
        rescue.execute();
        assertEq(token.balanceOf(vaultOfGovernance), FUNDS);
    }

    function test_RevertIf_NothingIsScheduled() public {
        grantRight();

        vm.expectRevert(
            abi.encodeWithSelector(
                EmergencyWithdrawalAdapter.NotExecutable.selector, 0, 0, vm.getBlockTimestamp()
            )
        );
        rescue.execute();
    }

    function test_RevertIf_ItIsScheduledAlready() public {
        grantRight();
        engage();
        uint64 from = rescue.readyAt();
        skip(1);

        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(EmergencyWithdrawalAdapter.AlreadyScheduled.selector, from));
        adapter.engage("");
        assertEq(rescue.readyAt(), from, "nobody moves the time by asking again");
    }

    function test_AScheduleThatLapsedIsNoneAndCanBeMadeAnew() public {
        scheduleAndWait();
        skip(WINDOW);
        assertTrue(adapter.engaged());
        skip(1);
        assertFalse(adapter.engaged());
        assertFalse(release());

        engage();
        assertEq(rescue.readyAt(), vm.getBlockTimestamp() + DELAY);
    }

    // ---- ways to stop it

    function test_ReleaseCancelsBeforeExecution() public {
        scheduleAndWait();
        vm.expectEmit(address(rescue));
        emit EmergencyWithdrawalAdapter.Cancelled(guardian);
        assertTrue(release());

        vm.expectPartialRevert(EmergencyWithdrawalAdapter.NotExecutable.selector);
        rescue.execute();
    }

    function test_AdminCancelsAtOnce() public {
        scheduleAndWait();
        vm.expectEmit(address(rescue));
        emit EmergencyWithdrawalAdapter.Cancelled(governance);
        liftByGovernance();

        assertFalse(adapter.engaged());
        vm.expectPartialRevert(EmergencyWithdrawalAdapter.NotExecutable.selector);
        rescue.execute();
    }

    function testFuzz_RevertIf_AnybodyElseCancelsOrAcknowledges(address caller) public {
        vm.assume(caller != governance);
        scheduleAndWait();
        bytes memory reason = abi.encodeWithSelector(Administered.NotAdmin.selector, caller);

        vm.startPrank(caller);
        vm.expectRevert(reason);
        rescue.cancel();
        rescue.execute();
        vm.expectRevert(reason);
        rescue.acknowledge();
    }

    // ---- once

    function test_AfterAWithdrawalTheNextWaitsForTheAdmin() public {
        scheduleAndWait();
        rescue.execute();

        expectReady("NOT_ACKNOWLEDGED");
        assertFalse(release());
        assertTrue(adapter.engaged());
        vm.expectPartialRevert(EmergencyWithdrawalAdapter.NotExecutable.selector);
        rescue.execute();
        vm.prank(guardian);
        vm.expectRevert(EmergencyWithdrawalAdapter.NotAcknowledged.selector);
        adapter.engage("");

        vm.expectEmit(address(rescue));
        emit EmergencyWithdrawalAdapter.Acknowledged();
        vm.prank(governance);
        rescue.acknowledge();
        assertFalse(adapter.engaged());
        expectReady(bytes32(0));
        engage();
        assertTrue(adapter.engaged());
    }

    function test_AWithdrawalLeavesNothingScheduled() public {
        scheduleAndWait();
        rescue.execute();

        assertEq(rescue.readyAt(), 0);
        assertEq(rescue.closesAt(), 0);
    }

    function test_RevertIf_ThereIsNothingToAcknowledge() public {
        vm.prank(governance);
        vm.expectRevert(EmergencyWithdrawalAdapter.NotExecuted.selector);
        rescue.acknowledge();
    }

    // ---- where it goes

    function test_TheRecipientStandsInTheCall() public view {
        assertEq(rescue.withdrawalCall(), abi.encodeCall(Treasury.rescue, (token, vaultOfGovernance, 0)));
    }

    function test_RevertIf_TheTargetSendsElsewhere() public {
        scheduleAndWait();
        treasury.setMode(Treasury.Mode.SendsElsewhere);

        vm.expectRevert(abi.encodeWithSelector(EmergencyWithdrawalAdapter.FundsAstray.selector, FUNDS, 0));
        rescue.execute();
        expectNothingMoved();
    }

    function test_RevertIf_TheTargetSendsAPartElsewhere() public {
        scheduleAndWait();
        treasury.setMode(Treasury.Mode.SendsHalfElsewhere);

        vm.expectRevert(
            abi.encodeWithSelector(EmergencyWithdrawalAdapter.FundsAstray.selector, FUNDS, FUNDS / 2)
        );
        rescue.execute();
        expectNothingMoved();
    }

    function test_RevertIf_TheTargetSendsNothing() public {
        scheduleAndWait();
        treasury.setMode(Treasury.Mode.Keeps);

        vm.expectRevert(abi.encodeWithSelector(EmergencyWithdrawalAdapter.FundsAstray.selector, 0, 0));
        rescue.execute();
        expectNothingMoved();
    }

    function test_OneUnitIsAWithdrawal() public {
        Withdrawal memory smallest = withdrawalOf(address(token));
        smallest.callAfter = abi.encode(FUNDS - 1);
        use(smallest);
        scheduleAndWait();

        rescue.execute();
        assertEq(token.balanceOf(vaultOfGovernance), 1);
    }

    function test_RevertIf_TheTokenKeepsAPart() public {
        FeeToken fees = new FeeToken();
        fees.mint(target, FUNDS);
        use(withdrawalOf(address(fees)));
        scheduleAndWait();

        vm.expectRevert(
            abi.encodeWithSelector(EmergencyWithdrawalAdapter.FundsAstray.selector, FUNDS, FUNDS - 1)
        );
        rescue.execute();
    }

    function test_ARefusalCanBeTriedAgain() public {
        scheduleAndWait();
        treasury.setMode(Treasury.Mode.Reverts);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        rescue.execute();
        expectNothingMoved();

        treasury.setMode(Treasury.Mode.Honest);
        rescue.execute();
        assertEq(token.balanceOf(vaultOfGovernance), FUNDS);
    }

    function test_T33_TheTargetCannotExecuteAgainFromWithin() public {
        scheduleAndWait();
        treasury.setCallBack(address(rescue), abi.encodeCall(rescue.execute, ()));

        rescue.execute();
        assertFalse(treasury.callBackOk());
        assertEq(token.balanceOf(vaultOfGovernance), FUNDS);
    }

    function test_WithdrawsTheChainsOwnCoin() public {
        use(withdrawalOf(address(0)));
        scheduleAndWait();
        rescue.execute();

        assertEq(vaultOfGovernance.balance, FUNDS);
        assertEq(target.balance, 0);
    }

    // ---- gas

    /// @dev Whoever executes chooses the gas. In steps of 1,000: it is refused, until all arrives.
    function test_T32_StarvedExecutionChangesNothing() public {
        scheduleAndWait();
        bytes memory data = abi.encodeCall(rescue.execute, ());
        uint256 gas_ = 50_000;

        for (bool ok = false; !ok; gas_ += 1_000) {
            assertLt(gas_, 1_000_000);
            expectNothingMoved();
            (ok,) = address(rescue).call{gas: gas_}(data);
        }

        assertEq(token.balanceOf(vaultOfGovernance), FUNDS);
        assertGt(gas_, 500_000, "what the target is due and what is kept back");
    }

    function test_RevertIf_TheTargetWouldNotGetItsGas() public {
        scheduleAndWait();

        (bool ok, bytes memory reason) =
            address(rescue).call{gas: 400_000}(abi.encodeCall(rescue.execute, ()));

        assertFalse(ok);
        assertEq(bytes4(reason), EmergencyWithdrawalAdapter.GasTooLow.selector);
    }

    /// @dev The target is passed 63 of 64 parts. What a refusal reports was left a few hundred gas after the check.
    function test_T32_RefusesUpToTheGasThatTheTargetIsDueAndWhatIsKeptBack() public {
        scheduleAndWait();
        bytes memory data = abi.encodeCall(rescue.execute, ());
        uint256 due = uint256(200_000) * 64 / 63 + rescue.RESERVE_GAS();
        uint256 left;

        for (uint256 gas_ = due; bytes4(tooLow(gas_, data)) != bytes4(0); gas_ += 500) {
            (left,,) = abi.decode(LibBytes.slice(tooLow(gas_, data), 4), (uint256, uint256, uint256));
        }

        assertApproxEqAbs(left, due, 1_000);
    }

    /// @dev How execution with this gas is refused for having too little; empty where it is not.
    function tooLow(uint256 gas_, bytes memory data) private returns (bytes memory reason) {
        (, reason) = address(rescue).call{gas: gas_}(data);
        if (bytes4(reason) != EmergencyWithdrawalAdapter.GasTooLow.selector) return "";
    }

    // ---- construction

    function test_NotReadyWhenTheAssetTellsNoBalance() public {
        use(withdrawalOf(address(this)));
        grantRight();
        expectReady("BALANCE_NOT_READABLE");
        engage();
        skip(DELAY);

        vm.expectRevert(
            abi.encodeWithSelector(EmergencyWithdrawalAdapter.BalanceUnreadable.selector, address(this))
        );
        rescue.execute();
    }

    function expectInvalid(Withdrawal memory bad, bytes memory reason) private {
        vm.expectRevert(reason);
        this.constructWith(bad);
    }

    function constructWith(Withdrawal memory withdrawal) external {
        new EmergencyWithdrawalAdapter(guardian, target, governance, withdrawal);
    }

    function test_RevertIf_TheRecipientIsNobodyOrTheTargetOrTheAdapter() public {
        Withdrawal memory bad = withdrawalOf(address(token));
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        address[3] memory recipients = [address(0), target, next];
        for (uint256 i = 0; i < recipients.length; i++) {
            bad.recipient = recipients[i];
            expectInvalid(
                bad,
                abi.encodeWithSelector(EmergencyWithdrawalAdapter.RecipientInvalid.selector, recipients[i])
            );
        }
    }

    function testFuzz_RevertIf_DelayOrWindowIsOutsideItsBounds(uint32 delay, uint32 window) public {
        bool ok = delay >= 1 hours && delay <= 7 days && window >= 1 hours && window <= 7 days;
        vm.assume(!ok);
        expectTimesInvalid(delay, window);
    }

    function expectTimesInvalid(uint32 delay, uint32 window) private {
        Withdrawal memory bad = withdrawalOf(address(token));
        (bad.delaySeconds, bad.windowSeconds) = (delay, window);
        expectInvalid(
            bad, abi.encodeWithSelector(EmergencyWithdrawalAdapter.TimesInvalid.selector, delay, window)
        );
    }

    function test_RevertIf_DelayOrWindowIsASecondBeyondItsBounds() public {
        expectTimesInvalid(1 hours - 1, 7 days);
        expectTimesInvalid(7 days + 1, 1 hours);
        expectTimesInvalid(1 hours, 7 days + 1);
        expectTimesInvalid(7 days, 1 hours - 1);
    }

    function test_DelayAndWindowMayTouchTheirBounds() public {
        Withdrawal memory edge = withdrawalOf(address(token));
        (edge.delaySeconds, edge.windowSeconds) = (1 hours, 7 days);
        use(edge);
        (edge.delaySeconds, edge.windowSeconds) = (7 days, 1 hours);
        use(edge);
        assertEq(rescue.delaySeconds(), 7 days);
        assertEq(rescue.windowSeconds(), 1 hours);
    }

    function test_RevertIf_TheRecipientWouldNotBeAnArgument() public {
        Withdrawal memory bad = withdrawalOf(address(token));
        bad.callBefore = hex"01020304050607";
        expectInvalid(bad, abi.encodeWithSelector(EmergencyWithdrawalAdapter.CallInvalid.selector, 7, 32));
        bad = withdrawalOf(address(token));
        bad.callAfter = hex"01";
        expectInvalid(bad, abi.encodeWithSelector(EmergencyWithdrawalAdapter.CallInvalid.selector, 36, 1));
    }
}

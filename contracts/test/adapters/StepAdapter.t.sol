// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {Setting} from "../../src/adapters/SettingAdapter.sol";
import {StepAdapter} from "../../src/adapters/StepAdapter.sol";
import {Market} from "../mocks/Market.sol";
import {TargetAdapter} from "../../src/adapters/TargetAdapter.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

/// @dev Steps of at most 20 %, no lower than FLOOR. The suites differ in the form of the setter.
abstract contract StepAdapterProperties is AdapterProperties {
    uint16 internal constant MAX_STEP_BPS = 2_000;
    uint32 internal constant INTERVAL = 1 hours;
    uint256 internal constant FLOOR = 100;
    uint256 internal constant NORMAL = 1_000_000;
    bytes32 internal constant RISK_ROLE = keccak256("RISK_ROLE");

    Market internal market;
    StepAdapter internal stepper;

    function setUp() public {
        vm.warp(1_800_000_000);
        market = new Market(governance);
        target = address(market);
        setByGovernance(NORMAL);
        adapter = construct(guardian, target);
        stepper = StepAdapter(address(adapter));
    }

    function setting() internal view virtual returns (Setting memory);

    function value() internal view virtual returns (uint256);

    function setByGovernance(uint256 value_) internal virtual;

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new StepAdapter(guardian_, target_, setting(), MAX_STEP_BPS, INTERVAL, FLOOR);
    }

    function grantRight() internal override {
        vm.prank(governance);
        market.grantRole(RISK_ROLE, address(adapter));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NO_RIGHT_TO_SET";
    }

    function isRestricted() internal view override returns (bool) {
        return value() < NORMAL;
    }

    function liftByGovernance() internal override {
        setByGovernance(NORMAL);
    }

    function parameters() internal pure override returns (bytes memory) {
        return abi.encode(MAX_STEP_BPS);
    }

    function step(uint256 stepBps) internal {
        vm.prank(guardian);
        adapter.engage(abi.encode(stepBps));
    }

    function testFuzz_StepLowersByNoMoreThanItsShareAndNeverBelowTheFloor(uint256 from, uint256 stepBps)
        public
    {
        from = bound(from, FLOOR + 1, type(uint240).max);
        stepBps = bound(stepBps, 1, MAX_STEP_BPS);
        // A smaller one might take less than a unit.
        vm.assume(from * stepBps >= 10_000);
        grantRight();
        setByGovernance(from);

        step(stepBps);
        assertLt(value(), from);
        assertGe(value(), FLOOR);
        assertGe(value() * 10_000, from * (10_000 - stepBps));
        assertTrue(adapter.engaged());
    }

    function testFuzz_StepIsAsLargeAsAskedWhereTheFloorIsFar(uint256 from, uint256 stepBps) public {
        from = bound(from, 2 * FLOOR, type(uint240).max / 10_000) * 10_000;
        stepBps = bound(stepBps, 1, MAX_STEP_BPS);
        grantRight();
        setByGovernance(from);

        step(stepBps);
        assertEq(value(), from / 10_000 * (10_000 - stepBps));
    }

    function testFuzz_RestoresExactlyWhatStoodBeforeTheFirstStep(uint256 from, uint8 steps) public {
        from = bound(from, 10_000, type(uint256).max);
        grantRight();
        setByGovernance(from);
        for (uint256 i = 0; i < 1 + steps % 4; i++) {
            step(MAX_STEP_BPS);
            skip(INTERVAL);
        }

        assertTrue(release());
        assertEq(value(), from);
        assertFalse(adapter.engaged());
    }

    function testFuzz_LeavesWhatGovernanceHasMovedSince(uint256 moved) public {
        vm.assume(moved != NORMAL * 8 / 10);
        grantRight();
        engage();
        setByGovernance(moved);

        assertFalse(release());
        assertEq(value(), moved);
    }

    function testFuzz_TighterValueOfGovernanceCountsAsEngaged(uint256 moved) public {
        grantRight();
        engage();
        setByGovernance(moved);

        assertEq(adapter.engaged(), moved <= NORMAL * 8 / 10);
    }

    function test_RevertIf_TheStepComesTooSoon() public {
        grantRight();
        step(1_000);
        uint256 next = vm.getBlockTimestamp() + INTERVAL;

        skip(INTERVAL - 1);
        vm.expectRevert(abi.encodeWithSelector(StepAdapter.StepTooSoon.selector, next, next - 1));
        step(1_000);
        skip(1);
        step(1_000);
        assertEq(value(), NORMAL * 81 / 100);
    }

    function test_RevertIf_TheStepComesTooSoonAfterARelease() public {
        grantRight();
        engage();
        release();

        vm.prank(guardian);
        vm.expectPartialRevert(StepAdapter.StepTooSoon.selector);
        adapter.engage(abi.encode(MAX_STEP_BPS));
        assertEq(value(), NORMAL);
    }

    function testFuzz_RevertIf_TheStepIsZeroOrTooLarge(uint256 stepBps) public {
        vm.assume(stepBps == 0 || stepBps > MAX_STEP_BPS);
        grantRight();

        vm.expectRevert(abi.encodeWithSelector(StepAdapter.StepInvalid.selector, stepBps, MAX_STEP_BPS));
        step(stepBps);
    }

    /// @dev In many protocols zero means "no cap".
    function testFuzz_RevertIf_TheValueIsAtTheFloorAlready(uint256 from) public {
        from = bound(from, 0, FLOOR);
        grantRight();
        setByGovernance(from);

        assertTrue(adapter.engaged());
        expectReady("AT_FLOOR");
        vm.expectRevert(abi.encodeWithSelector(StepAdapter.NothingToLower.selector, from, FLOOR));
        step(MAX_STEP_BPS);
        assertEq(value(), from);
    }

    function test_RevertIf_TheStepTakesLessThanAUnit() public {
        grantRight();
        setByGovernance(FLOOR + 1);

        vm.expectRevert(abi.encodeWithSelector(StepAdapter.NothingToLower.selector, FLOOR + 1, FLOOR));
        step(1);
    }

    function test_AnAdoptedStepStandsUntilGovernanceSetsTheValueAnew() public {
        grantRight();
        engage();
        expectReady("STEP_STANDS");
        setByGovernance(NORMAL * 8 / 10 + 1);

        expectReady(bytes32(0));
        skip(INTERVAL);
        engage();
        assertTrue(release());
        assertEq(value(), NORMAL * 8 / 10 + 1);
    }

    function test_TellsOfItsStep() public {
        grantRight();
        vm.expectEmit(address(adapter));
        emit StepAdapter.Stepped(NORMAL, NORMAL * 8 / 10);
        engage();

        assertEq(stepper.lastStepAt(), vm.getBlockTimestamp());
    }

    function test_RevertIf_BoundsAllowTooMuch() public {
        vm.expectRevert(StepAdapter.FloorZero.selector);
        this.constructWith(MAX_STEP_BPS, 0);
        vm.expectRevert(abi.encodeWithSelector(StepAdapter.StepInvalid.selector, 0, 9_999));
        this.constructWith(0, FLOOR);
        vm.expectRevert(abi.encodeWithSelector(StepAdapter.StepInvalid.selector, 10_000, 9_999));
        this.constructWith(10_000, FLOOR);
        assertEq(this.constructWith(9_999, 1).maxStepBps(), 9_999);
    }

    function constructWith(uint16 maxStepBps, uint256 floor) external returns (StepAdapter) {
        return new StepAdapter(guardian, target, setting(), maxStepBps, INTERVAL, floor);
    }
}

/// @dev `setSupplyCap(uint256)`, read by a view of one word.
contract CapStepAdapterTest is StepAdapterProperties {
    function setting() internal view override returns (Setting memory) {
        return Setting({
            setCall: abi.encodePacked(Market.setSupplyCap.selector),
            readCall: abi.encodeCall(market.supplyCap, ()),
            readIndex: 0,
            rightProbe: abi.encodePacked(IAccessControl.hasRole.selector, RISK_ROLE)
        });
    }

    function value() internal view override returns (uint256) {
        return market.supplyCap();
    }

    function setByGovernance(uint256 value_) internal override {
        vm.prank(governance);
        market.setSupplyCap(value_);
    }
}

/// @dev `setCollateralFactor(address,uint256)`, read as the second word of a listing.
contract CollateralFactorStepAdapterTest is StepAdapterProperties {
    address private constant ASSET = address(0xA55E7);

    function setting() internal view override returns (Setting memory) {
        return Setting({
            setCall: abi.encodePacked(Market.setCollateralFactor.selector, uint256(uint160(ASSET))),
            readCall: abi.encodeCall(market.markets, (ASSET)),
            readIndex: 1,
            rightProbe: abi.encodePacked(IAccessControl.hasRole.selector, RISK_ROLE)
        });
    }

    function value() internal view override returns (uint256 factor) {
        (, factor) = market.markets(ASSET);
    }

    function setByGovernance(uint256 value_) internal override {
        vm.prank(governance);
        market.setCollateralFactor(ASSET, value_);
    }

    function test_RevertIf_TheAnswerHasNoSuchWord() public {
        Setting memory bad = setting();
        bad.readIndex = 2;

        vm.expectRevert(abi.encodeWithSelector(TargetAdapter.TargetUnreadable.selector, target));
        new StepAdapter(guardian, target, bad, MAX_STEP_BPS, INTERVAL, FLOOR);
    }

    function test_OtherListingsStayAsTheyAre() public {
        address other = makeAddr("other");
        vm.prank(governance);
        market.setCollateralFactor(other, NORMAL);
        grantRight();
        engage();

        (, uint256 factor) = market.markets(other);
        assertEq(factor, NORMAL);
    }
}

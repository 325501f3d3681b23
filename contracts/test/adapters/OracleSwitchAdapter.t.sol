// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {FallbackOracle, OracleSwitchAdapter} from "../../src/adapters/OracleSwitchAdapter.sol";
import {RestoringAdapter} from "../../src/adapters/RestoringAdapter.sol";
import {Setting} from "../../src/adapters/SettingAdapter.sol";
import {TargetAdapter} from "../../src/adapters/TargetAdapter.sol";
import {Market} from "../mocks/Market.sol";
import {PriceFeed} from "../mocks/PriceFeed.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

contract OracleSwitchAdapterTest is AdapterProperties {
    uint32 private constant MAX_AGE = 1 hours;
    bytes32 private constant RISK_ROLE = keccak256("RISK_ROLE");

    address private primary = makeAddr("primary");
    Market private market;
    PriceFeed private feed;

    function setUp() public {
        vm.warp(1_800_000_000);
        market = new Market(governance);
        feed = new PriceFeed(2_000e8);
        target = address(market);
        setByGovernance(primary);
        adapter = construct(guardian, target);
    }

    function setting() private view returns (Setting memory) {
        return Setting({
            setCall: abi.encodePacked(Market.setOracle.selector),
            readCall: abi.encodeCall(market.oracle, ()),
            readIndex: 0,
            rightProbe: abi.encodePacked(IAccessControl.hasRole.selector, RISK_ROLE)
        });
    }

    function fallbackOracle() private view returns (FallbackOracle memory) {
        return FallbackOracle({
            oracle: address(feed),
            answerCall: abi.encodeCall(PriceFeed.latestRoundData, ()),
            answerIndex: 1,
            updatedAtIndex: 3,
            maxAgeSeconds: MAX_AGE
        });
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new OracleSwitchAdapter(guardian_, target_, setting(), fallbackOracle());
    }

    function grantRight() internal override {
        vm.prank(governance);
        market.grantRole(RISK_ROLE, address(adapter));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NO_RIGHT_TO_SET";
    }

    function isRestricted() internal view override returns (bool) {
        return market.oracle() == address(feed);
    }

    function liftByGovernance() internal override {
        setByGovernance(primary);
    }

    function setByGovernance(address oracle) private {
        vm.prank(governance);
        market.setOracle(oracle);
    }

    function expectRefused() private {
        expectReady("FALLBACK_NOT_SANE");
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(OracleSwitchAdapter.FallbackNotSane.selector, feed));
        adapter.engage("");
        assertEq(market.oracle(), primary);
    }

    function testFuzz_RestoresExactlyTheOracleThatGovernanceHadNamed(address previous) public {
        vm.assume(previous != address(feed));
        grantRight();
        setByGovernance(previous);

        engage();
        assertEq(market.oracle(), address(feed));
        assertTrue(release());
        assertEq(market.oracle(), previous);
    }

    function testFuzz_LeavesTheOracleThatGovernanceHasNamedSince(address moved) public {
        vm.assume(moved != address(feed));
        grantRight();
        engage();
        setByGovernance(moved);

        assertFalse(release());
        assertEq(market.oracle(), moved);
    }

    function testFuzz_RevertIf_TheFallbackAnswersZeroOrLess(int256 answer) public {
        answer = bound(answer, type(int256).min, 0);
        grantRight();
        feed.set(answer, vm.getBlockTimestamp());
        expectRefused();
    }

    function test_ZeroIsNoAnswerAndOneIs() public {
        grantRight();
        feed.set(0, vm.getBlockTimestamp());
        expectRefused();

        feed.set(1, vm.getBlockTimestamp());
        expectReady(bytes32(0));
    }

    function testFuzz_RevertIf_TheFallbackIsTooOldOrFromTheFuture(uint256 updatedAt) public {
        uint256 time = vm.getBlockTimestamp();
        vm.assume(updatedAt < time - MAX_AGE || updatedAt > time);
        grantRight();
        feed.set(1, updatedAt);
        expectRefused();
    }

    function testFuzz_SwitchesToAFallbackThatIsSane(int256 answer, uint256 age) public {
        grantRight();
        feed.set(bound(answer, 1, type(int256).max), vm.getBlockTimestamp() - bound(age, 0, MAX_AGE));

        expectReady(bytes32(0));
        engage();
        assertTrue(adapter.engaged());
    }

    function test_TheOldestAnswerThatWillDo() public {
        grantRight();
        feed.set(1, vm.getBlockTimestamp() - MAX_AGE);
        expectReady(bytes32(0));
        skip(1);
        expectReady("FALLBACK_NOT_SANE");
    }

    function test_RevertIf_TheFallbackDoesNotAnswer() public {
        grantRight();
        feed.setSilent(true);
        expectRefused();
    }

    function test_RevertIf_TheFallbackHasNoCodeAnyMore() public {
        grantRight();
        vm.etch(address(feed), "");
        expectRefused();
    }

    function test_WithoutAMaximumTheAgeIsNotAsked() public {
        FallbackOracle memory ageless = fallbackOracle();
        ageless.answerCall = abi.encodeCall(feed.answer, ());
        ageless.answerIndex = 0;
        ageless.updatedAtIndex = 9;
        ageless.maxAgeSeconds = 0;
        adapter = new OracleSwitchAdapter(guardian, target, setting(), ageless);
        grantRight();
        skip(365 days);

        engage();
        assertTrue(isRestricted());
        assertEq(OracleSwitchAdapter(address(adapter)).answerCall(), ageless.answerCall);
    }

    function test_RevertIf_TheAnswerHasNoTimeWhereOneIsAsked() public {
        FallbackOracle memory bad = fallbackOracle();
        bad.updatedAtIndex = 5;
        vm.expectRevert(abi.encodeWithSelector(OracleSwitchAdapter.FallbackNotSane.selector, feed));
        new OracleSwitchAdapter(guardian, target, setting(), bad);
    }

    function test_RevertIf_TheFallbackIsNoContractOrIsNotAsked() public {
        FallbackOracle memory bad = fallbackOracle();
        bad.oracle = primary;
        vm.expectRevert(abi.encodeWithSelector(TargetAdapter.TargetHasNoCode.selector, primary));
        this.constructWith(bad);
        bad = fallbackOracle();
        bad.answerCall = hex"010203";
        vm.expectRevert(abi.encodeWithSelector(RestoringAdapter.CallTooShort.selector, 3));
        this.constructWith(bad);
    }

    function constructWith(FallbackOracle memory fallback_) external {
        new OracleSwitchAdapter(guardian, target, setting(), fallback_);
    }
}

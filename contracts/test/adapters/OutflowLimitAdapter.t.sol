// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {Vault} from "../../demo/Vault.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {OutflowLimitAdapter} from "../../src/adapters/OutflowLimitAdapter.sol";
import {OutflowLimitedVault} from "../../src/adapters/outflow/OutflowLimitedVault.sol";
import {OutflowLimiter} from "../../src/adapters/outflow/OutflowLimiter.sol";
import {Setting, SettingAdapter} from "../../src/adapters/SettingAdapter.sol";
import {HostileSetting} from "../mocks/HostileSetting.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

/// @dev The target is the wrapper around a plain ERC-4626 vault.
contract OutflowLimitAdapterTest is AdapterProperties {
    uint256 private constant NORMAL = 1000e18;
    uint256 private constant CEILING = 100e18;
    uint256 private constant FLOOR = 10e18;

    OutflowLimitedVault private wrapper;
    OutflowLimitAdapter private limits;

    function setUp() public {
        vm.warp(1_800_000_000);
        AccessManager manager = new AccessManager(governance);
        Vault vault = new Vault(address(manager), new DemoToken("T", "T"), "Vault", "V");
        wrapper = new OutflowLimitedVault(vault, governance, 1 hours, NORMAL, "Limited", "LV");
        target = address(wrapper);
        adapter = construct(guardian, target);
        limits = OutflowLimitAdapter(address(adapter));
    }

    function setting() private pure returns (Setting memory) {
        return Setting({
            setCall: abi.encodePacked(OutflowLimiter.brakeOutflow.selector),
            readCall: abi.encodeCall(OutflowLimiter.outflowLimit, ()),
            readIndex: 0,
            rightProbe: abi.encodeWithSignature("outflowLimiter()")
        });
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return new OutflowLimitAdapter(guardian_, target_, setting(), FLOOR, CEILING);
    }

    function grantRight() internal override {
        vm.prank(governance);
        wrapper.setOutflowLimiter(address(adapter));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "NO_RIGHT_TO_SET";
    }

    function isRestricted() internal view override returns (bool) {
        return wrapper.outflowLimit() <= CEILING;
    }

    function liftByGovernance() internal override {
        setByGovernance(NORMAL);
    }

    function parameters() internal pure override returns (bytes memory) {
        return abi.encode(CEILING / 2);
    }

    function setByGovernance(uint256 limit) private {
        vm.prank(governance);
        wrapper.setOutflowLimit(limit);
    }

    function engageWith(uint256 limit) private {
        vm.prank(guardian);
        adapter.engage(abi.encode(limit));
    }

    function testFuzz_SetsALimitWithinTheOwnersBoundsAndRestoresExactly(uint128 normal, uint256 limit)
        public
    {
        normal = uint128(bound(normal, CEILING + 1, type(uint128).max));
        limit = bound(limit, FLOOR, CEILING);
        grantRight();
        setByGovernance(normal);

        engageWith(limit);
        assertEq(wrapper.outflowLimit(), limit);
        assertEq(wrapper.outflowLimitOfOwner(), normal);
        assertTrue(adapter.engaged());
        assertTrue(release());
        assertEq(wrapper.outflowLimit(), normal);
    }

    function testFuzz_RevertIf_LimitIsOutsideTheOwnersBounds(uint256 limit) public {
        vm.assume(limit < FLOOR || limit > CEILING);
        grantRight();

        vm.expectRevert(
            abi.encodeWithSelector(OutflowLimitAdapter.LimitOutOfBounds.selector, limit, FLOOR, CEILING)
        );
        engageWith(limit);
    }

    function testFuzz_RevertIf_LimitIsNotTighter(uint256 current, uint256 limit) public {
        current = bound(current, 0, CEILING);
        limit = bound(limit, current < FLOOR ? FLOOR : current, CEILING);
        grantRight();
        setByGovernance(current);

        vm.expectRevert(abi.encodeWithSelector(OutflowLimitAdapter.LimitNotTighter.selector, limit, current));
        engageWith(limit);
        assertEq(wrapper.outflowLimit(), current);
    }

    function test_TheLimitThatStandsIsNotTighterAndTheNextBelowIs() public {
        grantRight();
        setByGovernance(CEILING);
        vm.expectRevert(
            abi.encodeWithSelector(OutflowLimitAdapter.LimitNotTighter.selector, CEILING, CEILING)
        );
        engageWith(CEILING);

        engageWith(CEILING - 1);
        assertEq(wrapper.outflowLimit(), CEILING - 1);
    }

    function test_TightensInStepsAndRestoresWhatStoodBeforeTheFirst() public {
        grantRight();
        engageWith(CEILING);
        engageWith(FLOOR);

        assertTrue(release());
        assertEq(wrapper.outflowLimit(), NORMAL);
    }

    function testFuzz_LeavesWhatGovernanceHasMovedSince(uint128 moved) public {
        vm.assume(moved != CEILING / 2);
        grantRight();
        engage();
        setByGovernance(moved);

        assertFalse(release());
        assertEq(wrapper.outflowLimit(), moved);
    }

    function test_NotReadyWhenGovernancesOwnLimitCountsAsRestricted() public {
        grantRight();
        setByGovernance(CEILING);
        expectReady("ALREADY_LIMITED");
        assertTrue(adapter.engaged());

        setByGovernance(CEILING + 1);
        engage();
        expectReady(bytes32(0));
    }

    function test_RevertIf_TheTargetDoesNotTakeTheLimit() public {
        HostileSetting hostile = new HostileSetting(NORMAL);
        adapter = new OutflowLimitAdapter(
            guardian,
            address(hostile),
            Setting({
                setCall: abi.encodePacked(HostileSetting.setValue.selector),
                readCall: abi.encodeCall(hostile.value, ()),
                readIndex: 0,
                rightProbe: ""
            }),
            FLOOR,
            CEILING
        );
        uint256[3] memory found = [NORMAL, 2 * NORMAL, 0];

        for (uint256 i = 0; i < found.length; i++) {
            hostile.setMode(HostileSetting.Mode(i + 1));
            vm.expectRevert(abi.encodeWithSelector(SettingAdapter.EffectDiffers.selector, FLOOR, found[i]));
            engageWith(FLOOR);
        }
        hostile.setMode(HostileSetting.Mode.Honest);
        engageWith(FLOOR);
        assertEq(hostile.value(), FLOOR);
    }

    /// @dev A limit that is there already, behind an AccessManager.
    function test_TightensAnySetterOfOneNumber() public {
        AccessManager manager = new AccessManager(governance);
        Vault vault = new Vault(address(manager), new DemoToken("T", "T"), "Vault", "V");
        adapter = new OutflowLimitAdapter(
            guardian,
            address(vault),
            Setting({
                setCall: abi.encodePacked(Vault.setWithdrawLimit.selector),
                readCall: abi.encodeCall(vault.withdrawLimit, ()),
                readIndex: 0,
                rightProbe: ""
            }),
            FLOOR,
            CEILING
        );
        expectReady("NO_RIGHT_TO_SET");
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Vault.setWithdrawLimit.selector;
        vm.startPrank(governance);
        manager.setTargetFunctionRole(address(vault), selectors, 7);
        manager.grantRole(7, address(adapter), 0);
        vm.stopPrank();

        expectReady(bytes32(0));
        engageWith(FLOOR);
        assertEq(vault.withdrawLimit(), FLOOR);
        assertTrue(release());
        assertEq(vault.withdrawLimit(), type(uint256).max);
    }

    function test_TellsItsSetting() public view {
        Setting memory told = limits.setting();
        assertEq(abi.encode(told), abi.encode(setting()));
    }

    function test_RevertIf_BoundsAreZeroOrCrossed() public {
        vm.expectRevert(abi.encodeWithSelector(OutflowLimitAdapter.BoundsInvalid.selector, 0, CEILING));
        this.constructWith(setting(), 0);
        vm.expectRevert(
            abi.encodeWithSelector(OutflowLimitAdapter.BoundsInvalid.selector, CEILING + 1, CEILING)
        );
        this.constructWith(setting(), CEILING + 1);
        assertEq(this.constructWith(setting(), CEILING).floor(), CEILING);
    }

    function constructWith(Setting memory setting_, uint256 floor) external returns (OutflowLimitAdapter) {
        return new OutflowLimitAdapter(guardian, target, setting_, floor, CEILING);
    }

    function test_RevertIf_TheSetterIsNotASelectorAndWords() public {
        Setting memory bad = setting();
        bytes[3] memory calls = [bytes(""), bytes(hex"010203"), abi.encodePacked(bytes4(0), bytes31(0))];
        for (uint256 i = 0; i < calls.length; i++) {
            bad.setCall = calls[i];
            vm.expectRevert(abi.encodeWithSelector(SettingAdapter.SetCallInvalid.selector, calls[i].length));
            this.constructWith(bad, FLOOR);
        }
    }
}

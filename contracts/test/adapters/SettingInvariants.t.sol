// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {OutflowLimitAdapter} from "../../src/adapters/OutflowLimitAdapter.sol";
import {Setting} from "../../src/adapters/SettingAdapter.sol";
import {StepAdapter} from "../../src/adapters/StepAdapter.sol";
import {Market} from "../mocks/Market.sol";

/// @dev Governance and a network that wants the worst, on one setting.
contract SettingHandler is Test {
    Market public market;
    IAdapter public adapter;

    /// @dev What governance set last, and what the adapter left behind last.
    uint256 public ofGovernance;
    uint256 private leftBehind = type(uint256).max;
    bool public restoredSomethingElse;

    function start(Market market_, IAdapter adapter_, uint256 value) external {
        (market, adapter) = (market_, adapter_);
        set(value);
    }

    function setByGovernance(uint256 seed) external {
        uint256 value = bound(seed, 0, 2_000);
        // The one thing that cannot be told apart; governance adopts in the guardian instead.
        if (value != leftBehind) set(value);
    }

    function engage(uint256 param, uint16 waitSeconds) external {
        skip(waitSeconds);
        try adapter.engage(abi.encode(bound(param, 0, 3_000))) {
            leftBehind = market.supplyCap();
        } catch {}
    }

    function release() external {
        if (!adapter.release()) return;
        if (market.supplyCap() != ofGovernance) restoredSomethingElse = true;
    }

    function set(uint256 value) private {
        market.setSupplyCap(value);
        ofGovernance = value;
    }
}

abstract contract SettingInvariants is Test {
    uint256 internal constant FLOOR = 100;

    SettingHandler internal handler = new SettingHandler();
    Market internal market;

    function construct(Setting memory setting) internal virtual returns (IAdapter);

    function setUp() public {
        vm.warp(1_800_000_000);
        market = new Market(address(handler));
        IAdapter adapter = construct(
            Setting({
                setCall: abi.encodePacked(Market.setSupplyCap.selector),
                readCall: abi.encodeCall(market.supplyCap, ()),
                readIndex: 0,
                rightProbe: abi.encodePacked(IAccessControl.hasRole.selector, market.RISK_ROLE())
            })
        );
        bytes32 role = market.RISK_ROLE();
        vm.prank(address(handler));
        market.grantRole(role, address(adapter));
        handler.start(market, adapter, 1_000);
        targetContract(address(handler));
        bytes4[] memory selectors = new bytes4[](3);
        selectors[0] = SettingHandler.setByGovernance.selector;
        selectors[1] = SettingHandler.engage.selector;
        selectors[2] = SettingHandler.release.selector;
        targetSelector(FuzzSelector({addr: address(handler), selectors: selectors}));
    }

    function invariant_I6_NetworkNeverLoosensWhatGovernanceSet() public view {
        assertLe(market.supplyCap(), handler.ofGovernance());
    }

    function invariant_I6_NetworkNeverGoesBelowTheFloor() public view {
        uint256 governance = handler.ofGovernance();
        assertGe(market.supplyCap(), governance < FLOOR ? governance : FLOOR);
    }

    function invariant_I6_WhatIsRestoredIsWhatGovernanceSet() public view {
        assertFalse(handler.restoredSomethingElse());
    }
}

contract StepInvariants is SettingInvariants {
    function construct(Setting memory setting) internal override returns (IAdapter) {
        return new StepAdapter(address(handler), address(market), setting, 2_500, 1 hours, FLOOR);
    }
}

contract OutflowLimitInvariants is SettingInvariants {
    function construct(Setting memory setting) internal override returns (IAdapter) {
        return new OutflowLimitAdapter(address(handler), address(market), setting, FLOOR, 800);
    }
}

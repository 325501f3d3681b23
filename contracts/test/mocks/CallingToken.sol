// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DemoToken} from "../../demo/DemoToken.sol";

/// @title CallingToken: makes one call of somebody's choice in the middle of the next transfer. For tests.
contract CallingToken is DemoToken {
    address private _called;
    bytes private _data;

    bool public hookOk;
    bytes public hookAnswer;

    constructor() DemoToken("Hook", "HOOK") {}

    function setHook(address called, bytes calldata data) external {
        (_called, _data, hookOk, hookAnswer) = (called, data, true, "");
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        address called = _called;
        if (called == address(0)) return;
        _called = address(0);
        (hookOk, hookAnswer) = called.call(_data);
    }
}

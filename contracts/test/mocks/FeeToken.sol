// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {DemoToken} from "../../demo/DemoToken.sol";

/// @title FeeToken: keeps one unit of each transfer. For tests.
contract FeeToken is DemoToken {
    constructor() DemoToken("Fee", "FEE") {}

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0), 1);
    }
}

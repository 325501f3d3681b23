// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {OutflowLimiter} from "../../src/adapters/outflow/OutflowLimiter.sol";

/// @title Till: an outflow limiter and nothing else. For tests.
contract Till is OutflowLimiter {
    address public immutable owner;

    constructor(address owner_, uint32 window, uint256 limit) OutflowLimiter(window, limit) {
        owner = owner_;
    }

    function setOutflowLimit(uint256 limit) external {
        require(msg.sender == owner, "owner only");
        _setOutflowLimit(limit);
    }

    function setOutflowLimiter(address limiter) external {
        require(msg.sender == owner, "owner only");
        _setOutflowLimiter(limiter);
    }

    function spend(uint256 units) external {
        _spendOutflow(units);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @title Switch: something that one address may turn off. A protocol of its own, that knows nothing of watchers.
contract Switch {
    address public immutable operator;
    bool public off;

    constructor(address operator_) {
        operator = operator_;
    }

    function turn(bool off_) external {
        require(msg.sender == operator, "not the operator");
        off = off_;
    }
}

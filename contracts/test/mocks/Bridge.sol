// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title Bridge: a contract whose owner alone may stop the confirmation of roots. For tests.
contract Bridge is Ownable {
    uint256 public minimumDelay = 1;

    constructor() Ownable(msg.sender) {}

    function setMinimumDelay(uint256 seconds_) external onlyOwner {
        minimumDelay = seconds_;
    }
}

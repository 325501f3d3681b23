// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title PriceFeed: an oracle with the view that Chainlink's feeds have. For tests.
contract PriceFeed {
    int256 public answer;
    uint256 public updatedAt;
    bool public silent;

    constructor(int256 answer_) {
        set(answer_, block.timestamp);
    }

    function set(int256 answer_, uint256 updatedAt_) public {
        answer = answer_;
        updatedAt = updatedAt_;
    }

    function setSilent(bool silent_) external {
        silent = silent_;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        require(!silent, "silent");
        return (7, answer, updatedAt, updatedAt, 7);
    }
}

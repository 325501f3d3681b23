// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title LendingPool: a small pool with a real hole. For the demonstration, never for production.
/// @notice Lenders deposit the debt token; borrowers post the collateral token and borrow up to `LTV_BPS` of
///         its value. No interest, no liquidations: the demonstration needs neither.
///
///         The hole. `withdrawCollateral` asks whether the account is healthy *before* it takes the collateral
///         out, so an account that borrowed to its limit is still healthy at that moment and leaves with all of
///         its collateral and the loan. (Euler lost 197 million dollars in 2023 to a path that forgot the check
///         after a balance had moved.)
///
///         The attack, as `DrainAttack` makes it; each call takes LTV_BPS of the attacker's collateral in debt
///         tokens, so a modest capital needs several transactions. For an account of its own each time:
///           1. collateral.approve, postCollateral(all)
///           2. borrow(all * price * LTV)
///           3. withdrawCollateral(all)          <- should revert
///           4. send collateral and loan back, and again from the next block on until `liquidity()` is gone
///
///         What a watcher sees. `liquidity()` falls block by block. Honest use keeps
///         totalDebt * 10_000 <= totalCollateralValue * LTV_BPS (`isBacked()`), the attack breaks it as soon as
///         the honest borrowers' slack is used up, and `totalDebt()` grows while `totalCollateralValue()` does
///         not.
///
///         The brakes. `pause()` stops everything that takes tokens out and leaves open
///         repaying, posting collateral and depositing. `setBorrowCap(perBlock)` bounds what all accounts
///         together may borrow in one block: a limit action that slows a drain down and hinders honest use
///         little. Both are `restricted` by an AccessManager.
///
///         Storage. slots of AccessManaged and Pausable, then in order `priceE18`, `borrowCapPerBlock`,
///         `totalDebt`, `totalCollateral`, `totalDeposits`, the block's borrowing, and the accounts' mappings.
contract LendingPool is AccessManaged, Pausable {
    using SafeERC20 for IERC20;

    uint256 public constant LTV_BPS = 7_500;
    uint256 private constant BPS = 10_000;
    uint256 private constant E18 = 1e18;

    IERC20 public immutable collateralToken;
    IERC20 public immutable debtToken;

    /// @notice Debt tokens per collateral token, fixed point with 18 digits. Set by the oracle's role.
    uint256 public priceE18;

    /// @notice Most debt tokens that may be borrowed in one block, by all accounts together.
    uint256 public borrowCapPerBlock = type(uint256).max;

    uint256 public totalDebt;
    uint256 public totalCollateral;
    uint256 public totalDeposits;

    uint256 private _borrowBlock;
    uint256 private _borrowedInBlock;

    mapping(address account => uint256) public depositOf;
    mapping(address account => uint256) public collateralOf;
    mapping(address account => uint256) public debtOf;

    event Deposited(address indexed account, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);
    event CollateralPosted(address indexed account, uint256 amount);
    event CollateralWithdrawn(address indexed account, uint256 amount);
    event Borrowed(address indexed account, uint256 amount);
    event Repaid(address indexed account, uint256 amount);
    event PriceSet(uint256 priceE18);
    event BorrowCapSet(uint256 perBlock);

    error Undercollateralised(address account, uint256 debt, uint256 maxDebt);
    error BorrowCapReached(uint256 requested, uint256 left);
    error BalanceTooLow(address account, uint256 requested, uint256 balance);

    constructor(address authority, IERC20 collateralToken_, IERC20 debtToken_, uint256 initialPriceE18)
        AccessManaged(authority)
    {
        collateralToken = collateralToken_;
        debtToken = debtToken_;
        priceE18 = initialPriceE18;
    }

    // ---- lenders

    function deposit(uint256 amount) external {
        depositOf[msg.sender] += amount;
        totalDeposits += amount;
        emit Deposited(msg.sender, amount);
        debtToken.safeTransferFrom(msg.sender, address(this), amount);
    }

    function withdraw(uint256 amount) external whenNotPaused {
        if (amount > depositOf[msg.sender]) revert BalanceTooLow(msg.sender, amount, depositOf[msg.sender]);
        depositOf[msg.sender] -= amount;
        totalDeposits -= amount;
        emit Withdrawn(msg.sender, amount);
        debtToken.safeTransfer(msg.sender, amount);
    }

    // ---- borrowers

    function postCollateral(uint256 amount) external {
        collateralOf[msg.sender] += amount;
        totalCollateral += amount;
        emit CollateralPosted(msg.sender, amount);
        collateralToken.safeTransferFrom(msg.sender, address(this), amount);
    }

    function withdrawCollateral(uint256 amount) external whenNotPaused {
        // The hole: the account's health is asked about the collateral that is about to leave.
        _requireHealthy(msg.sender);
        uint256 balance = collateralOf[msg.sender];
        if (amount > balance) revert BalanceTooLow(msg.sender, amount, balance);
        collateralOf[msg.sender] = balance - amount;
        totalCollateral -= amount;
        emit CollateralWithdrawn(msg.sender, amount);
        collateralToken.safeTransfer(msg.sender, amount);
    }

    function borrow(uint256 amount) external whenNotPaused {
        _countAgainstCap(amount);
        debtOf[msg.sender] += amount;
        totalDebt += amount;
        _requireHealthy(msg.sender);
        emit Borrowed(msg.sender, amount);
        debtToken.safeTransfer(msg.sender, amount);
    }

    function repay(uint256 amount) external {
        if (amount > debtOf[msg.sender]) revert BalanceTooLow(msg.sender, amount, debtOf[msg.sender]);
        debtOf[msg.sender] -= amount;
        totalDebt -= amount;
        emit Repaid(msg.sender, amount);
        debtToken.safeTransferFrom(msg.sender, address(this), amount);
    }

    // ---- governance, oracle, guardian

    function pause() external restricted {
        _pause();
    }

    function unpause() external restricted {
        _unpause();
    }

    function setBorrowCap(uint256 perBlock) external restricted {
        borrowCapPerBlock = perBlock;
        emit BorrowCapSet(perBlock);
    }

    function setPrice(uint256 priceE18_) external restricted {
        priceE18 = priceE18_;
        emit PriceSet(priceE18_);
    }

    // ---- views

    /// @notice Debt tokens that the pool holds.
    function liquidity() external view returns (uint256) {
        return debtToken.balanceOf(address(this));
    }

    /// @notice Value of all collateral, in debt tokens.
    function totalCollateralValue() public view returns (uint256) {
        return totalCollateral * priceE18 / E18;
    }

    /// @notice The pool's invariant: all debt within the loan-to-value of all collateral.
    function isBacked() external view returns (bool) {
        return totalDebt * BPS <= totalCollateralValue() * LTV_BPS;
    }

    /// @notice Most that `account` may owe with the collateral that it has posted.
    function maxDebtOf(address account) public view returns (uint256) {
        return collateralOf[account] * priceE18 / E18 * LTV_BPS / BPS;
    }

    // ---- internals

    function _requireHealthy(address account) private view {
        uint256 maxDebt = maxDebtOf(account);
        if (debtOf[account] > maxDebt) revert Undercollateralised(account, debtOf[account], maxDebt);
    }

    function _countAgainstCap(uint256 amount) private {
        if (_borrowBlock != block.number) {
            _borrowBlock = block.number;
            _borrowedInBlock = 0;
        }
        uint256 left = borrowCapPerBlock > _borrowedInBlock ? borrowCapPerBlock - _borrowedInBlock : 0;
        if (amount > left) revert BorrowCapReached(amount, left);
        _borrowedInBlock += amount;
    }
}

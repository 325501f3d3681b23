// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title LendingMarket: one asset lent against one collateral, under an AccessManager. An example of a protocol.
/// @notice Lenders supply the asset, borrowers post collateral and borrow up to LTV_BPS of its value; above
///         LIQUIDATION_BPS anybody may repay for them and take collateral worth the repayment and a bonus. No
///         interest. It knows nothing of watchers.
///
///         Three brakes, each for the AccessManager to give away: `setBorrowCap` bounds what is lent in all;
///         `setFrozen` refuses new risk (supply, borrow) and leaves every way out open (repay, withdraw,
///         withdraw collateral, liquidate); `pause` refuses all but repaying, which harms nobody.
///
///         Storage. slot 0 `_paused` 1, `frozen` 1 (after the authority, 20); slot 1 `priceWad`; slot 2 `borrowCap`;
///         slot 3 `totalDebt`; slots 4 to 6 `suppliedOf`, `collateralOf`, `debtOf` by account.
contract LendingMarket is AccessManaged, Pausable {
    using SafeERC20 for IERC20;

    uint256 public constant LTV_BPS = 7_500;
    uint256 public constant LIQUIDATION_BPS = 8_500;
    uint256 public constant LIQUIDATION_BONUS_BPS = 500;

    uint256 private constant BPS = 10_000;
    uint256 private constant WAD = 1e18;

    IERC20 public immutable asset;
    IERC20 public immutable collateral;

    /// @notice No new risk: supply and borrow are refused.
    bool public frozen;

    /// @notice Units of the asset for 1e18 units of collateral.
    uint256 public priceWad;

    /// @notice Most units of the asset that may be lent out in all.
    uint256 public borrowCap = type(uint256).max;

    /// @notice Units of the asset that are lent out.
    uint256 public totalDebt;

    mapping(address account => uint256) public suppliedOf;
    mapping(address account => uint256) public collateralOf;
    mapping(address account => uint256) public debtOf;

    event Supplied(address indexed account, uint256 assets);
    event Withdrawn(address indexed account, uint256 assets);
    event CollateralPosted(address indexed account, uint256 units);
    event CollateralWithdrawn(address indexed account, uint256 units);
    event Borrowed(address indexed account, uint256 assets);
    event Repaid(address indexed account, address indexed payer, uint256 assets);
    event Liquidated(address indexed account, address indexed liquidator, uint256 repaid, uint256 seized);
    event PriceSet(uint256 priceWad);
    event BorrowCapSet(uint256 borrowCap);
    event FrozenSet(bool frozen);

    error MarketFrozen();
    error BorrowCapReached(uint256 totalDebt, uint256 borrowCap);
    error Undercollateralised(address account, uint256 debt, uint256 maxDebt);
    error Healthy(address account, uint256 debt, uint256 limit);

    modifier whenNotFrozen() {
        if (frozen) revert MarketFrozen();
        _;
    }

    constructor(address manager, IERC20 asset_, IERC20 collateral_, uint256 priceWad_)
        AccessManaged(manager)
    {
        asset = asset_;
        collateral = collateral_;
        priceWad = priceWad_;
    }

    // ---- lenders

    function supply(uint256 assets) external whenNotPaused whenNotFrozen {
        suppliedOf[msg.sender] += assets;
        emit Supplied(msg.sender, assets);
        asset.safeTransferFrom(msg.sender, address(this), assets);
    }

    function withdraw(uint256 assets) external whenNotPaused {
        suppliedOf[msg.sender] -= assets;
        emit Withdrawn(msg.sender, assets);
        asset.safeTransfer(msg.sender, assets);
    }

    // ---- borrowers

    /// @dev Open while frozen: more collateral is less risk.
    function postCollateral(uint256 units) external whenNotPaused {
        collateralOf[msg.sender] += units;
        emit CollateralPosted(msg.sender, units);
        collateral.safeTransferFrom(msg.sender, address(this), units);
    }

    function withdrawCollateral(uint256 units) external whenNotPaused {
        collateralOf[msg.sender] -= units;
        _requireWithin(msg.sender, LTV_BPS);
        emit CollateralWithdrawn(msg.sender, units);
        collateral.safeTransfer(msg.sender, units);
    }

    function borrow(uint256 assets) external whenNotPaused whenNotFrozen {
        debtOf[msg.sender] += assets;
        totalDebt += assets;
        if (totalDebt > borrowCap) revert BorrowCapReached(totalDebt, borrowCap);
        _requireWithin(msg.sender, LTV_BPS);
        emit Borrowed(msg.sender, assets);
        asset.safeTransfer(msg.sender, assets);
    }

    function repay(address account, uint256 assets) external {
        debtOf[account] -= assets;
        totalDebt -= assets;
        emit Repaid(account, msg.sender, assets);
        asset.safeTransferFrom(msg.sender, address(this), assets);
    }

    /// @notice Repays for an account above LIQUIDATION_BPS and takes its collateral at a bonus.
    function liquidate(address account, uint256 assets) external whenNotPaused returns (uint256 seized) {
        uint256 limit = _limitOf(account, LIQUIDATION_BPS);
        if (debtOf[account] <= limit) revert Healthy(account, debtOf[account], limit);
        seized = assets * WAD * (BPS + LIQUIDATION_BONUS_BPS) / (priceWad * BPS);
        debtOf[account] -= assets;
        totalDebt -= assets;
        collateralOf[account] -= seized;
        emit Liquidated(account, msg.sender, assets, seized);
        asset.safeTransferFrom(msg.sender, address(this), assets);
        collateral.safeTransfer(msg.sender, seized);
    }

    // ---- whom the AccessManager lets

    function setPrice(uint256 priceWad_) external restricted {
        priceWad = priceWad_;
        emit PriceSet(priceWad_);
    }

    function setBorrowCap(uint256 borrowCap_) external restricted {
        borrowCap = borrowCap_;
        emit BorrowCapSet(borrowCap_);
    }

    function setFrozen(bool frozen_) external restricted {
        frozen = frozen_;
        emit FrozenSet(frozen_);
    }

    function pause() external restricted {
        _pause();
    }

    function unpause() external restricted {
        _unpause();
    }

    // ---- internals

    function _requireWithin(address account, uint256 bps) private view {
        uint256 limit = _limitOf(account, bps);
        if (debtOf[account] > limit) revert Undercollateralised(account, debtOf[account], limit);
    }

    function _limitOf(address account, uint256 bps) private view returns (uint256) {
        return collateralOf[account] * priceWad / WAD * bps / BPS;
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";
import {Administered} from "./Administered.sol";
import {TargetAdapter} from "./TargetAdapter.sol";

/// @notice The one withdrawal, as the owner fixes it.
/// @param asset         token that is withdrawn; zero: the chain's own coin
/// @param recipient     where it goes
/// @param callBefore    selector of the target's function and the arguments before the recipient
/// @param callAfter     arguments after the recipient
/// @param rightProbe    how the target tells that the adapter may call it; empty: by its AccessManager
/// @param delaySeconds  from the schedule to the first moment at which it may be executed
/// @param windowSeconds from then on, the time in which it may
/// @param minGas        gas that the target gets at least, whoever executes
struct Withdrawal {
    address asset;
    address recipient;
    bytes callBefore;
    bytes callAfter;
    bytes rightProbe;
    uint32 delaySeconds;
    uint32 windowSeconds;
    uint32 minGas;
}

/// @title EmergencyWithdrawalAdapter: brings one asset to one address, after a delay, on the highest threshold
/// @notice The network only schedules. After the delay anyone may execute, for as long as the window is open and
///         nobody has cancelled; `admin`, the protocol's governance, may cancel at once, and so does the end of the
///         guardian's restriction. The guardian's duration must therefore outlast delay and window.
///
///         The recipient is written into the call here, and its balance is read before and after: it must rise, and
///         by no less than the target's own balance falls. So a target that sends elsewhere gets nothing done. Tokens
///         that keep a part of a transfer cannot be withdrawn in this way.
///
///         `engaged` is true while a withdrawal is scheduled, and after it was executed until the admin has
///         acknowledged it: one alert, one withdrawal, and the next only after governance has looked. It is the one
///         adapter whose state is its own and not the target's.
///
///         Trust. The target is not trusted with where its funds go, the asset's `balanceOf` is trusted.
///
///         Storage. slots 0 and 1 of Administered; slot 2 `_callBefore`, slot 3 `_callAfter`, slot 4 `_rightProbe`
///         (bytes, fixed in the constructor); slot 5 `readyAt` (8 bytes), `executed` (1 byte).
contract EmergencyWithdrawalAdapter is TargetAdapter, Administered {
    /// @notice Bounds of delay and window, seconds.
    uint32 public constant MIN_DELAY = 1 hours;
    /// @notice Least time in which a withdrawal may be carried out, seconds.
    uint32 public constant MIN_WINDOW = 1 hours;
    /// @notice Longest delay that may be fixed, seconds.
    uint32 public constant MAX_DELAY = 7 days;
    /// @notice Longest time in which a withdrawal may be carried out, seconds.
    uint32 public constant MAX_WINDOW = 7 days;

    /// @notice Gas kept back for reading the balances afterwards, and the event.
    uint256 public constant RESERVE_GAS = 3 * READ_GAS;

    uint16 private constant FLOOR_BPS = 9_000;

    /// @notice Token that is withdrawn; zero: the chain's own coin.
    address public immutable asset;

    /// @notice Where it goes.
    address public immutable recipient;

    /// @notice Seconds from the schedule to the first moment of execution, and from then to the last.
    uint32 public immutable delaySeconds;
    /// @notice Time in which a withdrawal may be carried out after its delay, seconds.
    uint32 public immutable windowSeconds;

    /// @notice Gas that the target gets at least.
    uint32 public immutable minGas;

    bytes private _callBefore;
    bytes private _callAfter;
    bytes private _rightProbe;

    /// @notice Unix seconds from which on the scheduled withdrawal may be executed; zero: none is scheduled.
    uint64 public readyAt;

    /// @notice A withdrawal was executed and is not yet acknowledged.
    bool public executed;

    /// @notice The withdrawal may be carried out in this span, unix seconds.
    event Scheduled(uint64 readyAt, uint64 closesAt);
    /// @notice The withdrawal was taken back before it happened.
    event Cancelled(address indexed by);
    /// @notice The fixed call was made.
    event Withdrawn(address indexed asset, address indexed recipient, uint256 units);
    /// @notice The admin has seen the withdrawal; the adapter can be used again.
    event Acknowledged();

    /// @notice The recipient may not be nobody, the target or this adapter.
    error RecipientInvalid(address recipient);
    /// @notice Delay or window is outside its bounds.
    error TimesInvalid(uint32 delaySeconds, uint32 windowSeconds);
    /// @notice The recipient must stand at the place of an argument.
    error CallInvalid(uint256 lengthBefore, uint256 lengthAfter);
    /// @notice A withdrawal is scheduled already.
    error AlreadyScheduled(uint64 readyAt);
    /// @notice The last withdrawal has not been acknowledged.
    error NotAcknowledged();
    /// @notice There is nothing to acknowledge.
    error NotExecuted();
    /// @notice Nothing is scheduled, or it is too early or too late.
    error NotExecutable(uint64 readyAt, uint64 closesAt, uint256 time);
    /// @notice Too little gas for the target to get what it needs.
    error GasTooLow(uint256 gasLeft, uint256 minGas, uint256 reserve);
    /// @notice The asset does not tell a balance.
    error BalanceUnreadable(address asset);
    /// @notice What left the target did not reach the recipient, or nothing did.
    error FundsAstray(uint256 sent, uint256 received);

    constructor(address guardian_, address target_, address admin_, Withdrawal memory withdrawal)
        TargetAdapter(guardian_, target_)
        Administered(admin_)
    {
        address to = withdrawal.recipient;
        if (to == address(0) || to == target_ || to == address(this)) revert RecipientInvalid(to);
        uint256 lengthAfter = withdrawal.callAfter.length;
        if (withdrawal.callBefore.length % 32 != 4 || lengthAfter % 32 != 0) {
            revert CallInvalid(withdrawal.callBefore.length, lengthAfter);
        }
        _checkTimes(withdrawal.delaySeconds, withdrawal.windowSeconds);
        asset = withdrawal.asset;
        recipient = to;
        delaySeconds = withdrawal.delaySeconds;
        windowSeconds = withdrawal.windowSeconds;
        minGas = withdrawal.minGas;
        _callBefore = withdrawal.callBefore;
        _callAfter = withdrawal.callAfter;
        _rightProbe = withdrawal.rightProbe;
    }

    // ---- the guardian

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. `params` must be empty. Schedules; nothing moves yet.
    function engage(bytes calldata params) external onlyGuardian {
        _refuseParameters(params);
        if (executed) revert NotAcknowledged();
        if (_isScheduled()) revert AlreadyScheduled(readyAt);
        readyAt = uint64(block.timestamp) + delaySeconds;
        emit Scheduled(readyAt, closesAt());
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. Cancels what is scheduled; false once it is executed.
    function release() external onlyGuardian returns (bool released) {
        if (executed || !_isScheduled()) return false;
        _cancel();
        return true;
    }

    // ---- anyone

    /// @notice Makes the withdrawal, for anyone, from `readyAt` to `closesAt`. Reverts with what went wrong, and can
    ///         then be tried again.
    function execute() external {
        uint64 from = readyAt;
        if (from == 0 || block.timestamp < from || block.timestamp > closesAt()) {
            revert NotExecutable(from, closesAt(), block.timestamp);
        }
        readyAt = 0;
        executed = true;
        uint256 held = _balanceOf(target);
        uint256 had = _balanceOf(recipient);
        // Whoever executes must not be able to starve the target into withdrawing a part.
        if (gasleft() * 63 < uint256(minGas) * 64 + 63 * RESERVE_GAS) {
            revert GasTooLow(gasleft(), minGas, RESERVE_GAS);
        }
        _callTarget(withdrawalCall());

        uint256 sent = Math.saturatingSub(held, _balanceOf(target));
        uint256 received = Math.saturatingSub(_balanceOf(recipient), had);
        if (received < Math.max(sent, 1)) revert FundsAstray(sent, received);
        emit Withdrawn(asset, recipient, received);
    }

    // ---- the admin

    /// @notice Cancels what is scheduled, at once. For the admin alone; harmless when nothing is.
    function cancel() external onlyAdmin {
        _cancel();
    }

    /// @notice Lets the network schedule again after a withdrawal. For the admin alone.
    function acknowledge() external onlyAdmin {
        if (!executed) revert NotExecuted();
        executed = false;
        emit Acknowledged();
    }

    // ---- views

    /// @inheritdoc IAdapter
    /// @dev Above what a pause needs: this moves funds.
    function floorBps() external pure override returns (uint16) {
        return FLOOR_BPS;
    }

    /// @inheritdoc IAdapter
    /// @dev Scheduled, or executed and not acknowledged.
    function engaged() external view returns (bool) {
        return executed || _isScheduled();
    }

    /// @inheritdoc IAdapter
    function ready() external view returns (bool ok, bytes32 reason) {
        if (executed) return (false, "NOT_ACKNOWLEDGED");
        (ok,) = _tryBalanceOf(target);
        if (!ok) return (false, "BALANCE_NOT_READABLE");
        if (!_mayCall(bytes4(_callBefore), _rightProbe)) return (false, "NO_RIGHT_TO_WITHDRAW");
        return (true, bytes32(0));
    }

    /// @notice The call that `execute` makes.
    function withdrawalCall() public view returns (bytes memory) {
        return abi.encodePacked(_callBefore, uint256(uint160(recipient)), _callAfter);
    }

    /// @notice Unix seconds of the last moment of execution; zero: none is scheduled.
    function closesAt() public view returns (uint64) {
        return readyAt == 0 ? 0 : readyAt + windowSeconds;
    }

    // ---- internals

    function _checkTimes(uint32 delaySeconds_, uint32 windowSeconds_) private pure {
        if (
            delaySeconds_ < MIN_DELAY || delaySeconds_ > MAX_DELAY || windowSeconds_ < MIN_WINDOW
                || windowSeconds_ > MAX_WINDOW
        ) revert TimesInvalid(delaySeconds_, windowSeconds_);
    }

    /// @dev A schedule whose window has closed is none.
    function _isScheduled() private view returns (bool) {
        return readyAt != 0 && block.timestamp <= closesAt();
    }

    function _cancel() private {
        readyAt = 0;
        emit Cancelled(msg.sender);
    }

    function _balanceOf(address holder) private view returns (uint256) {
        (bool ok, uint256 units) = _tryBalanceOf(holder);
        if (!ok) revert BalanceUnreadable(asset);
        return units;
    }

    function _tryBalanceOf(address holder) private view returns (bool ok, uint256 units) {
        if (asset == address(0)) return (true, holder.balance);
        bytes32 word;
        (ok, word) = BoundedCall.readWord(asset, READ_GAS, abi.encodeCall(IERC20.balanceOf, (holder)));
        units = uint256(word);
    }
}

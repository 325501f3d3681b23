// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../interfaces/IAdapter.sol";
import {Setting, SettingAdapter} from "./SettingAdapter.sol";

/// @notice The oracle to switch to, and how to see that it works.
/// @param oracle         its address
/// @param answerCall     a view of it, such as `latestRoundData()`
/// @param answerIndex    place of the answer among the words that come back
/// @param updatedAtIndex place of the time of the answer, unix seconds
/// @param maxAgeSeconds  oldest answer that will do; zero: the oracle gives no time, its age is not asked
struct FallbackOracle {
    address oracle;
    bytes answerCall;
    uint8 answerIndex;
    uint8 updatedAtIndex;
    uint32 maxAgeSeconds;
}

/// @title OracleSwitchAdapter: makes a target read from one fallback oracle, named beforehand
/// @notice `engage` refuses when the fallback does not answer sanely: above zero as a signed number, and not older
///         than the owner allowed. The previous oracle comes back on release, however it answers then, unless
///         governance has named another.
///
///         Trust. Prices follow the fallback from then on; choosing it is the owner's part.
///
///         Storage. slots 0-4 of SettingAdapter; slot 5 `_answerCall` (bytes, fixed in the constructor).
contract OracleSwitchAdapter is SettingAdapter {
    /// @notice The fallback oracle.
    address public immutable oracle;

    /// @notice Place of the answer, and of its time, in what the fallback returns.
    uint8 public immutable answerIndex;
    /// @notice Place of the time in the fallback's answer, in words.
    uint8 public immutable updatedAtIndex;

    /// @notice Oldest answer that will do, seconds; zero: not asked.
    uint32 public immutable maxAgeSeconds;

    bytes private _answerCall;

    /// @notice The fallback does not answer, or not with a fresh number above zero.
    error FallbackNotSane(address oracle);

    constructor(address guardian_, address target_, Setting memory setting_, FallbackOracle memory fallback_)
        SettingAdapter(guardian_, target_, setting_)
    {
        _requireCode(fallback_.oracle);
        _requireSelector(fallback_.answerCall);
        oracle = fallback_.oracle;
        answerIndex = fallback_.answerIndex;
        updatedAtIndex = fallback_.updatedAtIndex;
        maxAgeSeconds = fallback_.maxAgeSeconds;
        _answerCall = fallback_.answerCall;
        if (!_isSane()) revert FallbackNotSane(fallback_.oracle);
    }

    /// @notice The view by which the fallback is judged.
    function answerCall() external view returns (bytes memory) {
        return _answerCall;
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. `params` must be empty.
    function engage(bytes calldata params) external onlyGuardian {
        _refuseParameters(params);
        if (!_isSane()) revert FallbackNotSane(oracle);
        _set(_oracleWord());
    }

    function _isRestricted(bytes32 word) internal view override returns (bool) {
        return word == _oracleWord();
    }

    function _obstacle(bytes32) internal view override returns (bytes32 reason) {
        if (!_isSane()) return "FALLBACK_NOT_SANE";
    }

    function _oracleWord() private view returns (bytes32) {
        return bytes32(uint256(uint160(oracle)));
    }

    function _isSane() private view returns (bool) {
        (bool ok, bytes32 answer) = _readWordAt(oracle, _answerCall, answerIndex);
        if (!ok || int256(uint256(answer)) <= 0) return false;
        if (maxAgeSeconds == 0) return true;
        bytes32 updatedAt;
        (ok, updatedAt) = _readWordAt(oracle, _answerCall, updatedAtIndex);
        return
            ok && uint256(updatedAt) <= block.timestamp
                && block.timestamp - uint256(updatedAt) <= maxAgeSeconds;
    }
}

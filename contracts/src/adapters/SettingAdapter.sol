// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../interfaces/IAdapter.sol";
import {RestoringAdapter} from "./RestoringAdapter.sol";
import {TargetAdapter} from "./TargetAdapter.sol";

/// @notice One word of a target, and how to read and write it.
/// @param setCall    selector of the setter and its leading arguments; the new word follows as the last one
/// @param readCall   a view of the target
/// @param readIndex  place of the word in the view's answer, 0 for the first
/// @param rightProbe how the target tells that the adapter may write it; empty: by its AccessManager
struct Setting {
    bytes setCall;
    bytes readCall;
    uint8 readIndex;
    bytes rightProbe;
}

/// @title SettingAdapter: sets one word of the target within bounds, and restores it
/// @notice What the word may become is for the contracts that inherit. The effect is read back: a target that does
///         not take the word as given makes `engage` revert.
///
///         Storage. slots 0-2 of RestoringAdapter; slot 3 `_setCall`, slot 4 `_rightProbe` (bytes, fixed in the
///         constructor).
abstract contract SettingAdapter is RestoringAdapter {
    bytes private _setCall;
    bytes private _rightProbe;

    /// @notice The setter needs a selector and whole words after it.
    error SetCallInvalid(uint256 length);
    /// @notice The target was set to `wanted` and answers `found`.
    error EffectDiffers(bytes32 wanted, bytes32 found);

    constructor(address guardian_, address target_, Setting memory setting_)
        TargetAdapter(guardian_, target_)
        RestoringAdapter(setting_.readCall, setting_.readIndex)
    {
        if (setting_.setCall.length % 32 != 4) {
            revert SetCallInvalid(setting_.setCall.length);
        }
        _setCall = setting_.setCall;
        _rightProbe = setting_.rightProbe;
        _probe();
    }

    /// @notice The setting, as fixed.
    function setting() external view returns (Setting memory) {
        return
            Setting({setCall: _setCall, readCall: _probeCall, readIndex: probeIndex, rightProbe: _rightProbe});
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. Restores the word that stood before the first change.
    function release() external onlyGuardian returns (bool released) {
        (bool ours, bytes32 previous) = _takeBack();
        if (!ours) return false;
        _callTarget(abi.encodePacked(_setCall, previous));
        return true;
    }

    /// @inheritdoc IAdapter
    function engaged() external view returns (bool) {
        (bool ok, bytes32 word) = _tryProbe();
        return ok && _isRestricted(word);
    }

    /// @inheritdoc IAdapter
    function ready() external view returns (bool ok, bytes32 reason) {
        bytes32 word;
        (ok, word) = _tryProbe();
        if (!ok) return (false, "PROBE_FAILED");
        if (!_mayCall(bytes4(_setCall), _rightProbe)) return (false, "NO_RIGHT_TO_SET");
        reason = _obstacle(word);
        return (reason == bytes32(0), reason);
    }

    function _set(bytes32 word) internal {
        bytes32 found = _change(abi.encodePacked(_setCall, word));
        if (found != word) revert EffectDiffers(word, found);
    }

    /// @dev Whether the target counts as restricted while it answers `word`.
    function _isRestricted(bytes32 word) internal view virtual returns (bool);

    /// @dev Why `engage` could not act on `word`; zero when it could.
    function _obstacle(bytes32 word) internal view virtual returns (bytes32 reason);
}

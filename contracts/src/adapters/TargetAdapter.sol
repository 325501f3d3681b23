// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {LibBytes} from "solady/utils/LibBytes.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";

/// @title TargetAdapter: what all adapters share
/// @notice One guardian, one target, both fixed; calls to the target are bounded in what they return, reads also
///         in the gas that they get.
///
///         Whether the target is restricted is read from the target. Where it does not tell, `engaged` reverts:
///         unknown is neither yes nor no.
///
///         A right on the target is asked for in one of two ways. Without a right probe the target's AccessManager
///         is asked about a selector. A right probe is a view of the target: the address of whoever must hold the
///         right is appended as its last argument, and the answer must be true or that address. So
///         `hasRole(bytes32,address)` with the role filled in, `owner()` and `wards(address)` are all probes.
abstract contract TargetAdapter is IAdapter {
    /// @notice Gas for one read of a target or a role contract.
    uint256 internal constant READ_GAS = 100_000;

    /// @inheritdoc IAdapter
    address public immutable guardian;

    /// @notice The contract that this adapter restricts.
    address public immutable target;

    /// @notice The guardian given at construction is nobody.
    error GuardianZero();
    /// @notice An address given at construction holds no contract.
    error TargetHasNoCode(address target);
    /// @notice The target does not answer, or not with what is asked for.
    error TargetUnreadable(address target);
    /// @notice This adapter takes parameters of exactly `expected` bytes.
    error ParametersInvalid(uint256 length, uint256 expected);

    modifier onlyGuardian() {
        if (msg.sender != guardian) revert NotGuardian(msg.sender, guardian);
        _;
    }

    constructor(address guardian_, address target_) {
        if (guardian_ == address(0)) revert GuardianZero();
        _requireCode(target_);
        guardian = guardian_;
        target = target_;
    }

    /// @inheritdoc IAdapter
    function floorBps() external view virtual returns (uint16) {
        return 0;
    }

    function _requireCode(address account) internal view {
        if (account.code.length == 0) revert TargetHasNoCode(account);
    }

    function _refuseParameters(bytes calldata params) internal pure {
        if (params.length != 0) revert ParametersNotTaken(params.length);
    }

    function _requireWord(bytes calldata params) internal pure returns (uint256) {
        if (params.length != 32) revert ParametersInvalid(params.length, 32);
        return uint256(bytes32(params));
    }

    /// @dev Reverts when the target refuses. So does a release: a refusal may pass (a target that is locked against
    ///      re-entry while somebody calls through it), and then anyone can try again.
    function _callTarget(bytes memory data) internal virtual returns (bytes memory returned) {
        bool ok;
        (ok, returned) = BoundedCall.call(target, gasleft(), data);
        if (!ok) revert TargetFailed(target, returned);
    }

    function _readTarget(bytes memory data) internal view returns (bool ok, bytes32 word) {
        return BoundedCall.readWord(target, READ_GAS, data);
    }

    /// @dev A word that is zero or one; false when the target answers with anything else.
    function _readFlag(bytes memory data) internal view returns (bool ok, bool flag) {
        bytes32 word;
        (ok, word) = _readTarget(data);
        return (ok && uint256(word) <= 1, uint256(word) == 1);
    }

    function _requireFlag(bytes memory data) internal view returns (bool) {
        (bool ok, bool flag) = _readFlag(data);
        if (!ok) revert TargetUnreadable(target);
        return flag;
    }

    /// @dev The same for a view without parameters. A response asks twice, so it takes no memory for the call.
    function _requireFlag(bytes4 selector) internal view returns (bool) {
        (bool ok, bytes32 word) = BoundedCall.readWord(target, READ_GAS, selector);
        if (!ok || uint256(word) > 1) revert TargetUnreadable(target);
        return uint256(word) == 1;
    }

    /// @dev The word at `index` of the answer; false when the answer is shorter.
    function _readWordAt(address account, bytes memory data, uint256 index)
        internal
        view
        returns (bool ok, bytes32 word)
    {
        bytes memory answer;
        (ok, answer) = BoundedCall.read(account, READ_GAS, data);
        if (!ok || answer.length < 32 * (index + 1)) return (false, bytes32(0));
        return (true, LibBytes.load(answer, 32 * index));
    }

    // ---- rights

    /// @dev Whoever calls the target, and so must hold the right.
    function _rightHolder() internal view virtual returns (address) {
        return address(this);
    }

    function _mayCall(bytes4 selector, bytes memory rightProbe) internal view returns (bool) {
        return rightProbe.length == 0 ? _managerAllows(selector) : _grants(rightProbe);
    }

    /// @dev Whether the target's AccessManager, if it has one, lets the holder call `selector` without delay.
    function _managerAllows(bytes4 selector) internal view returns (bool) {
        (bool ok, bytes32 word) = _readTarget(abi.encodeWithSignature("authority()"));
        address manager = address(uint160(uint256(word)));
        if (!ok || manager.code.length == 0) return false;
        // Immediate is the first word of (bool immediate, uint32 delay).
        (ok, word) = BoundedCall.readWord(
            manager, READ_GAS, abi.encodeCall(IAccessManager.canCall, (_rightHolder(), target, selector))
        );
        return ok && word == bytes32(uint256(1));
    }

    /// @dev Whether the target answers the probe, asked about the holder, with true or with the holder's address.
    function _grants(bytes memory rightProbe) internal view returns (bool) {
        uint256 holder = uint160(_rightHolder());
        (bool ok, bytes32 word) = _readTarget(abi.encodePacked(rightProbe, holder));
        return ok && (uint256(word) == 1 || uint256(word) == holder);
    }
}

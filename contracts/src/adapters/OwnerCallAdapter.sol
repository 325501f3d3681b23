// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Administered} from "./Administered.sol";
import {FixedCallAdapter} from "./FixedCallAdapter.sol";

/// @title OwnerCallAdapter: a fixed call on a target that obeys its owner alone
/// @notice This adapter is the target's owner. `admin`, the protocol's governance, acts on the target through
///         `execute` and takes ownership out with it (`transferOwnership`); the guardian can make the fixed
///         calls and nothing else. Whoever `admin` is has every right that the owner had before.
///
///         Storage: as FixedCallAdapter; slots 5 and 6 of Administered.
contract OwnerCallAdapter is FixedCallAdapter, Administered {
    /// @notice The admin called the target as its owner.
    event Executed(bytes4 indexed selector, uint256 valueWei);

    constructor(
        address guardian_,
        address target_,
        address admin_,
        bytes memory engageCall_,
        bytes memory releaseCall_,
        bytes memory probeCall_,
        Compare compare_,
        bytes32 expected_
    )
        FixedCallAdapter(guardian_, target_, engageCall_, releaseCall_, probeCall_, compare_, expected_)
        Administered(admin_)
    {}

    /// @notice Calls the target as its owner, with the value sent along. For the admin alone. Governance trusts its
    ///         own target, so the answer is not bounded. Reverts with TargetFailed and the target's answer.
    function execute(bytes calldata data) external payable onlyAdmin returns (bytes memory returned) {
        bool ok;
        (ok, returned) = target.call{value: msg.value}(data);
        if (!ok) revert TargetFailed(target, returned);
        emit Executed(bytes4(data), msg.value);
    }

    function _holdsRight(bytes4, bytes4) internal view override returns (bool ok, bytes32 reason) {
        if (_grants(abi.encodeWithSignature("owner()"))) return (true, bytes32(0));
        return (false, "NOT_OWNER");
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedCallAdapter} from "./FixedCallAdapter.sol";

/// @title AccessManagedAdapter: a fixed call on a target whose AccessManager grants this adapter the selectors
/// @notice Give this adapter a role without delay, limited to the selectors of the engage and release calls.
///         Governance takes the right away by revoking the role.
///
///         Storage: as FixedCallAdapter.
contract AccessManagedAdapter is FixedCallAdapter {
    constructor(
        address guardian_,
        address target_,
        bytes memory engageCall_,
        bytes memory releaseCall_,
        bytes memory probeCall_,
        Compare compare_,
        bytes32 expected_
    ) FixedCallAdapter(guardian_, target_, engageCall_, releaseCall_, probeCall_, compare_, expected_) {}

    function _holdsRight(bytes4 engageSelector, bytes4 releaseSelector)
        internal
        view
        override
        returns (bool ok, bytes32 reason)
    {
        return _mayCallBoth(engageSelector, releaseSelector, "");
    }
}

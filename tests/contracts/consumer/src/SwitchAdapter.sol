// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TargetAdapter} from "@tocsin/contracts/src/adapters/TargetAdapter.sol";
import {IAdapter} from "@tocsin/contracts/src/interfaces/IAdapter.sol";
import {Switch} from "./Switch.sol";

/// @title SwitchAdapter: an adapter that somebody writes for a target that no adapter of the package fits
contract SwitchAdapter is TargetAdapter {
    constructor(address guardian_, address target_) TargetAdapter(guardian_, target_) {}

    /// @inheritdoc IAdapter
    function engage(bytes calldata params) external onlyGuardian {
        _refuseParameters(params);
        _callTarget(abi.encodeCall(Switch.turn, (true)));
    }

    /// @inheritdoc IAdapter
    function release() external onlyGuardian returns (bool released) {
        _callTarget(abi.encodeCall(Switch.turn, (false)));
        return true;
    }

    /// @inheritdoc IAdapter
    function engaged() external view returns (bool) {
        return Switch(target).off();
    }

    /// @inheritdoc IAdapter
    function ready() external view returns (bool ok, bytes32 reason) {
        if (!_grants(abi.encodeWithSignature("operator()"))) return (false, "NOT_OPERATOR");
        return (true, bytes32(0));
    }
}

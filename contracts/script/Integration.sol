// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {FixedCallAdapter} from "../src/adapters/FixedCallAdapter.sol";
import {GuardianFactory} from "../src/guardian/GuardianFactory.sol";
import {ActionConfig, IGuardian} from "../src/interfaces/IGuardian.sol";
import {Deterministic} from "./Deterministic.sol";

/// @title Integration: the steps by which a protocol connects, each of them harmless when repeated
/// @notice Your script inherits it and names target, adapters and terms; `examples/` has three. The steps fall
///         into two kinds, and a script does well to keep them apart:
///
///         what anybody may send   `createGuardian`, `deploy…Adapter`; gives no right to anyone
///         what governance sends   `allow`, and the grant of the right at the target, which only the protocol knows
///
///         A governance that is a multisig or a timelock runs the second part without `--broadcast` and with
///         `--sender` its own address: Foundry then writes the calls into a file instead of sending them.
abstract contract Integration is Deterministic {
    /// @dev The guardian of `owner`, created where it is not there yet.
    function createGuardian(GuardianFactory factory, address owner, bytes32 policyHash, bytes32 salt)
        internal
        returns (IGuardian)
    {
        address at = factory.predict(owner, policyHash, salt);
        return IGuardian(at.code.length == 0 ? factory.create(owner, policyHash, salt) : at);
    }

    /// @dev For `pause()`, `unpause()`, `paused()`.
    function deployPausableAdapter(IGuardian guardian, address target) internal returns (address) {
        return deployOnce("PausableAdapter", abi.encode(guardian, target));
    }

    /// @dev For a fixed call that an AccessManager opens to the adapter.
    function deployAccessManagedAdapter(
        IGuardian guardian,
        address target,
        bytes memory engageCall,
        bytes memory releaseCall,
        bytes memory probeCall,
        FixedCallAdapter.Compare compare,
        bytes32 expected
    ) internal returns (address) {
        bytes memory arguments = abi.encode(
            guardian, target, engageCall, releaseCall, probeCall, compare, expected
        );
        return deployOnce("AccessManagedAdapter", arguments);
    }

    /// @dev For a fixed call that only the target's owner may make; `admin` acts on the target through the adapter.
    function deployOwnerCallAdapter(
        IGuardian guardian,
        address target,
        address admin,
        bytes memory engageCall,
        bytes memory releaseCall,
        bytes memory probeCall,
        FixedCallAdapter.Compare compare,
        bytes32 expected
    ) internal returns (address) {
        bytes memory arguments = abi.encode(
            guardian, target, admin, engageCall, releaseCall, probeCall, compare, expected
        );
        return deployOnce("OwnerCallAdapter", arguments);
    }

    /// @dev Names an action, where it does not stand there with just these terms. The guardian's owner.
    function allow(IGuardian guardian, string memory name, ActionConfig memory config) internal {
        bytes32 actionId = keccak256(bytes(name));
        if (keccak256(abi.encode(guardian.action(actionId))) == keccak256(abi.encode(config))) return;
        guardian.setAction(actionId, config);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Script} from "forge-std/Script.sol";

/// @title Deterministic: contracts of the release build, at addresses that follow from code and arguments
/// @notice Everything is created by CREATE2 through the deterministic deployment proxy that stands at
///         0x4e59b44847b379578588920cA78FbF26c0B4956C on nearly every chain. The salt is always zero: creation code
///         and constructor arguments already tell two contracts apart. So an address that these scripts
///         compute is a commitment: what stands there was made by this code with these arguments, whoever
///         sent the transaction and on whichever chain. What is there already is left as it is.
///
///         The code is that of the package's `artifacts/`, which the release profile has compiled, and not
///         what the caller's own compiler settings would make of the sources. `TOCSIN_ARTIFACTS` names another
///         folder. The project that runs a script must let it read there (`fs_permissions` in foundry.toml).
abstract contract Deterministic is Script {
    bytes32 internal constant SALT = bytes32(0);

    /// @notice The deployment proxy has no code on this chain; it has to be put there first.
    error ProxyMissing(address proxy, uint256 chainId);

    /// @notice The constructor refused; `reason` is its error, encoded as its contract declares it.
    error DeploymentFailed(string name, bytes reason);

    /// @dev Creates the contract where it is not there yet. Call inside a broadcast.
    function deployOnce(string memory name, bytes memory arguments) internal returns (address at) {
        at = addressOf(name, arguments);
        if (at.code.length != 0) return at;
        if (CREATE2_FACTORY.code.length == 0) revert ProxyMissing(CREATE2_FACTORY, block.chainid);
        bytes memory initCode = abi.encodePacked(creationCode(name), arguments);
        (bool ok,) = CREATE2_FACTORY.call(abi.encodePacked(SALT, initCode));
        if (!ok || at.code.length == 0) revert DeploymentFailed(name, _reasonOf(initCode));
    }

    /// @dev Where the contract is or would be, on any chain.
    function addressOf(string memory name, bytes memory arguments) internal view returns (address) {
        return vm.computeCreate2Address(
            SALT, keccak256(abi.encodePacked(creationCode(name), arguments)), CREATE2_FACTORY
        );
    }

    /// @dev The proxy swallows the constructor's error, so it is asked again without the proxy. Nothing of this
    ///      is ever sent: the script reverts right after.
    function _reasonOf(bytes memory initCode) private returns (bytes memory reason) {
        assembly ("memory-safe") {
            pop(create(0, add(initCode, 32), mload(initCode)))
            reason := mload(0x40)
            mstore(reason, returndatasize())
            returndatacopy(add(reason, 32), 0, returndatasize())
            mstore(0x40, add(reason, and(add(returndatasize(), 63), not(31))))
        }
    }

    /// @dev Creation code of a contract of the release build, without arguments.
    function creationCode(string memory name) internal view virtual returns (bytes memory) {
        string memory folder =
            vm.envOr("TOCSIN_ARTIFACTS", string("node_modules/@tocsin/contracts/artifacts"));
        return vm.getCode(string.concat(folder, "/", name, ".json"));
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {console} from "forge-std/console.sol";
import {HeaderLib} from "../src/libraries/HeaderLib.sol";
import {SuccessionTerms} from "../src/verifier/OperatorSetChain.sol";
import {Deterministic} from "./Deterministic.sol";

/// @title Deploy: what the guardians of one chain share: verifier, implementation, factory
/// @notice Whoever pays for the gas may run it; nobody gets a right by having run it, but for the terms' owner. A
///         second run with the same arguments finds everything in place and sends nothing.
///
///         The addresses follow from the arguments. Two chains that are given the same header and terms have
///         the same three addresses; chains that start from different epochs have not.
///
///         The header is the deployer's word for the operator set. `registryHeaderHash` is the registry's own, read
///         on the home chain from a node that you trust; the script refuses a header that hashes to something else.
contract Deploy is Deterministic {
    error HeaderNotTheRegistrys(bytes32 given, bytes32 registryHeaderHash);

    /// @param verifierName       QuorumVerifier, PagedQuorumVerifier or WeightedEcdsaVerifier
    /// @param networkId          the registry's `networkId()`
    /// @param set                the current set as that verifier keeps it; the header's 302 bytes come first, for the
    ///                           first two kinds they are all
    /// @param registryHeaderHash the registry's `headerHash(epoch)`
    /// @param terms              owner of a reset, and seconds: minEpochInterval, grace, resetDelay
    function run(
        string calldata verifierName,
        bytes32 networkId,
        bytes calldata set,
        bytes32 registryHeaderHash,
        SuccessionTerms calldata terms
    ) external returns (address verifier, address implementation, address factory) {
        bytes32 headerHash = keccak256(set[:HeaderLib.HEADER_BYTES]);
        if (headerHash != registryHeaderHash) revert HeaderNotTheRegistrys(headerHash, registryHeaderHash);
        vm.startBroadcast();
        verifier = deployOnce(verifierName, abi.encode(networkId, set, terms));
        implementation = deployOnce("Guardian", abi.encode(verifier));
        factory = deployOnce("GuardianFactory", abi.encode(implementation));
        vm.stopBroadcast();
        console.log("verifier       %s", verifier);
        console.log("implementation %s", implementation);
        console.log("factory        %s", factory);
    }
}

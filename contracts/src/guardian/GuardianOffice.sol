// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {GuardianReadiness} from "./GuardianReadiness.sol";

/// @title GuardianOffice: the half of a guardian that is in no hurry
/// @notice The owner's terms and the watchers' questions. `Guardian` hands every call here that it does not know
///         itself, by `delegatecall`, so this code runs on the guardian's storage. Together they would be larger
///         than a contract may be; apart, what an incident runs through is small enough to be read at a sitting.
///
///         Created by the guardian's implementation, in its constructor, and never exchanged. Storage: as
///         GuardianStorage.
contract GuardianOffice is GuardianReadiness {
    /// @param verifier_ as the guardian's
    constructor(IQuorumVerifier verifier_) GuardianReadiness(verifier_) {
        // On its own storage it guards nothing: its owner is nobody.
        _initializeOwner(address(1));
    }
}

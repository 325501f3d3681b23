// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title IQuorumVerifier: was this digest signed by more than a share of one operator set's weight?
/// @notice All that a guardian knows of signatures. Chains without BLS12-381 get another implementation.
interface IQuorumVerifier {
    /// @notice The network of operators whose certificates this contract checks.
    function networkId() external view returns (bytes32);

    /// @notice The operator set that may act now. `validUntil` is the unix second after which it may not, zero
    ///         while no set may.
    function currentSet() external view returns (uint32 epoch, uint64 validUntil);

    /// @notice Reverts unless operators of the named set with strictly more than `thresholdBps` of its weight
    ///         have signed `digest`.
    /// @param digest       what was signed
    /// @param epoch        operator set that the digest names
    /// @param headerHash   header of that set, as the digest names it
    /// @param thresholdBps share in hundredths of a percent, from the caller's storage
    /// @param certificate  header, signature and the operators who are absent or present
    function verify(
        bytes32 digest,
        uint32 epoch,
        bytes32 headerHash,
        uint16 thresholdBps,
        bytes calldata certificate
    ) external view returns (uint128 signedWeight, uint128 totalWeight);
}

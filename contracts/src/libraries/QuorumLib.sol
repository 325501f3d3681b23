// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title QuorumLib: whether the weight that signed is enough
/// @notice Twin of `meets` in `consensus/certificate.py`. Strictly more, by cross-multiplication: a share that is
///         rounded down could reach zero, and then nobody would be enough.
/// @dev Weights have at most 128 bits, so no product overflows.
library QuorumLib {
    uint256 internal constant BPS = 10_000;

    /// @notice Whether `signed` is more than `thresholdBps` hundredths of a percent of `total`.
    function isAbove(uint256 signed, uint256 total, uint16 thresholdBps) internal pure returns (bool) {
        return signed * BPS > total * thresholdBps;
    }

    /// @notice Whether `signed` is more than two thirds of `total`, which a handover needs from either set.
    function isAboveTwoThirds(uint256 signed, uint256 total) internal pure returns (bool) {
        return signed * 3 > total * 2;
    }
}

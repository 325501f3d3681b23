// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {BoundedCall} from "../libraries/BoundedCall.sol";
import {Guardian} from "./Guardian.sol";

/// @title ArbitrumGuardian: a guardian for chains on which `block.number` is another chain's
/// @notice On Arbitrum the opcodes NUMBER and BLOCKHASH speak of the parent chain, so every alert about an
///         Arbitrum block would be refused as one from the future. Its own blocks are known to the ArbSys
///         precompile, for the last 256.
///
///         Storage: as GuardianStorage.
contract ArbitrumGuardian is Guardian {
    address private constant ARB_SYS = address(0x64);
    uint256 private constant ARB_SYS_GAS = 50_000;
    uint256 private constant ARB_SYS_BLOCKS = 256;
    bytes4 private constant ARB_BLOCK_NUMBER = bytes4(keccak256("arbBlockNumber()"));

    /// @notice This chain has no ArbSys: it needs the plain `Guardian`.
    error ArbSysMissing();

    constructor(IQuorumVerifier verifier_) Guardian(verifier_) {
        if (_blockNumber() == 0) revert ArbSysMissing();
    }

    /// @inheritdoc Guardian
    function anchorRange() external view override returns (uint256 blocks) {
        return _blockHash(_blockNumber() - 1) == bytes32(0) ? 0 : ARB_SYS_BLOCKS;
    }

    function _blockNumber() internal view override returns (uint256) {
        (bool ok, bytes32 word) = BoundedCall.readWord(ARB_SYS, ARB_SYS_GAS, ARB_BLOCK_NUMBER);
        return ok ? uint256(word) : 0;
    }

    /// @dev ArbSys reverts for blocks that it does not remember.
    function _blockHash(uint256 number) internal view override returns (bytes32) {
        (bool ok, bytes32 hash) = BoundedCall.readWord(
            ARB_SYS, ARB_SYS_GAS, abi.encodeWithSignature("arbBlockHash(uint256)", number)
        );
        return ok ? hash : bytes32(0);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IQuorumVerifier} from "../interfaces/IQuorumVerifier.sol";
import {Alert, AlertLib} from "../libraries/AlertLib.sol";
import {AnchorLib} from "../libraries/AnchorLib.sol";
import {IInterchainSecurityModule, ISM_UNUSED} from "./IInterchainSecurityModule.sol";

/// @title HyperlaneQuorumIsm: delivers a Hyperlane message only when the quorum has cleared it
/// @notice Design. Watchers look at a message under a policy and, where it is sound, sign an all-clear: an alert
///         with the verdict clear whose subject is the message's id, keccak256 of its bytes. One of the alert's
///         action leaves names this chain, this contract and ACTION_ID with empty parameters, so that a clear for
///         one module serves no other. The metadata is
///
///             abi.encode(Alert alert, bytes32[] actionLeaves, uint256 leafIndex, bytes certificate)
///
///         Hyperlane's relayers do not make it; whoever holds the certificate calls the mailbox. That a message is
///         delivered once is the mailbox's business.
///
///         Use it beside the app's other modules, in an aggregation that asks for all of them: what a clear says of
///         a message is what the policy says, and no more.
///
///         Trust. The owner approves policy and share; while no policy is approved nothing is delivered. Clearing
///         takes more than two thirds at least, as a pause does: what lets value pass must not be easier than what
///         stops it. The verifier is trusted to count.
///
///         Storage. slot 0 owner; slot 1 pending owner 20, `thresholdBps` 2; slot 2 `policyHash`.
contract HyperlaneQuorumIsm is IInterchainSecurityModule, Ownable2Step {
    uint256 private constant BPS = 10_000;

    /// @notice What an alert's leaf for this contract names.
    bytes32 public constant ACTION_ID = keccak256("hyperlane.deliver");

    /// @notice Least share that an owner may ask for, in hundredths of a percent; it must be exceeded.
    uint16 public constant MIN_THRESHOLD_BPS = 6_667;

    /// @notice Who counts.
    IQuorumVerifier public immutable verifier;

    /// @notice Network whose operators clear messages.
    bytes32 public immutable networkId;

    /// @notice Share of the weight that must be exceeded, in hundredths of a percent.
    uint16 public thresholdBps;

    /// @notice Policy under which messages are cleared; zero: none.
    bytes32 public policyHash;

    /// @notice From here on messages are cleared under this policy, by more than this share.
    event Approved(bytes32 indexed policyHash, uint16 thresholdBps);

    error ThresholdInvalid(uint16 givenBps, uint16 minBps, uint16 maxBps);
    error PolicyNotApproved(bytes32 given, bytes32 approved);
    error VerdictNotClear(uint8 verdict);
    error SubjectMismatch(bytes32 given, bytes32 messageId);
    error AlertFromFuture(uint64 observedAt, uint256 time);
    error AlertExpired(uint64 expiresAt, uint256 time);
    error AlertWindowInvalid(uint64 observedAt, uint64 expiresAt, uint64 maxTtl);
    error AnchorInvalid(uint256 number, bytes32 hash);
    error LeafCountInvalid(uint256 leaves, uint256 maxLeaves);
    error LeafIndexOutOfRange(uint256 index, uint256 leaves);
    error LeafMismatch(bytes32 given, bytes32 expected);

    constructor(IQuorumVerifier verifier_, address owner_, bytes32 policyHash_, uint16 thresholdBps_)
        Ownable(owner_)
    {
        verifier = verifier_;
        networkId = verifier_.networkId();
        _approve(policyHash_, thresholdBps_);
    }

    // ---- the mailbox

    /// @inheritdoc IInterchainSecurityModule
    function moduleType() external pure returns (uint8) {
        return ISM_UNUSED;
    }

    /// @inheritdoc IInterchainSecurityModule
    /// @dev Anyone may call. Returns true, or reverts as `requireCleared` does.
    function verify(bytes calldata metadata, bytes calldata message) external view returns (bool) {
        (Alert memory alert, bytes32[] memory actionLeaves, uint256 leafIndex, bytes memory certificate) =
            abi.decode(metadata, (Alert, bytes32[], uint256, bytes));
        this.requireCleared(keccak256(message), alert, actionLeaves, leafIndex, certificate);
        return true;
    }

    /// @notice Reverts unless the message has been cleared; with what is wrong about the alert, or with the
    ///         verifier's own error. Anyone may call.
    /// @param messageId    keccak256 of the message's bytes
    /// @param alert        what the operators signed
    /// @param actionLeaves hashes of all actions that the alert names
    /// @param leafIndex    place of this contract's leaf among them
    /// @param certificate  as `IQuorumVerifier.verify` takes it
    function requireCleared(
        bytes32 messageId,
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        uint256 leafIndex,
        bytes calldata certificate
    ) external view {
        if (policyHash == bytes32(0) || alert.policyHash != policyHash) {
            revert PolicyNotApproved(alert.policyHash, policyHash);
        }
        if (alert.verdict != AlertLib.VERDICT_CLEAR) revert VerdictNotClear(alert.verdict);
        if (alert.subject != messageId) revert SubjectMismatch(alert.subject, messageId);
        _checkTime(alert);
        _checkLeaf(actionLeaves, leafIndex);
        bytes32 digest =
            AlertLib.digest(networkId, alert, AlertLib.slotId(alert), AlertLib.actionsHash(actionLeaves));
        // Reverts unless the share was exceeded; by how much does not matter.
        // slither-disable-next-line unused-return
        verifier.verify(digest, alert.epoch, alert.headerHash, thresholdBps, certificate);
    }

    // ---- the owner

    /// @notice Names policy and share that messages are cleared by from here on. A zero policy clears nothing.
    ///         Only the owner. Reverts with ThresholdInvalid.
    /// @param policyHash_   hash of the policy
    /// @param thresholdBps_ share in hundredths of a percent, from MIN_THRESHOLD_BPS to 9,999
    function approve(bytes32 policyHash_, uint16 thresholdBps_) external onlyOwner {
        _approve(policyHash_, thresholdBps_);
    }

    // ---- internals

    function _approve(bytes32 policyHash_, uint16 thresholdBps_) private {
        if (thresholdBps_ < MIN_THRESHOLD_BPS || thresholdBps_ >= BPS) {
            revert ThresholdInvalid(thresholdBps_, MIN_THRESHOLD_BPS, uint16(BPS - 1));
        }
        policyHash = policyHash_;
        thresholdBps = thresholdBps_;
        emit Approved(policyHash_, thresholdBps_);
    }

    function _checkTime(Alert calldata alert) private view {
        if (alert.observedAt > block.timestamp) revert AlertFromFuture(alert.observedAt, block.timestamp);
        if (alert.expiresAt < block.timestamp) revert AlertExpired(alert.expiresAt, block.timestamp);
        if (alert.expiresAt - alert.observedAt > AlertLib.MAX_TTL) {
            revert AlertWindowInvalid(alert.observedAt, alert.expiresAt, AlertLib.MAX_TTL);
        }
        if (alert.sourceChainId != block.chainid) return;
        bytes32 known = AnchorLib.blockHash(alert.anchorNumber);
        bool isOther = known != bytes32(0) && known != alert.anchorHash;
        if (isOther || alert.anchorNumber >= block.number) {
            revert AnchorInvalid(alert.anchorNumber, alert.anchorHash);
        }
    }

    /// @dev Chain and address are read here and never cached: a fork of the chain is another chain.
    function _checkLeaf(bytes32[] calldata actionLeaves, uint256 leafIndex) private view {
        uint256 leaves = actionLeaves.length;
        if (leaves > AlertLib.MAX_ACTIONS) revert LeafCountInvalid(leaves, AlertLib.MAX_ACTIONS);
        if (leafIndex >= leaves) revert LeafIndexOutOfRange(leafIndex, leaves);
        bytes32 expected = AlertLib.actionLeaf(block.chainid, address(this), ACTION_ID, keccak256(""));
        if (actionLeaves[leafIndex] != expected) revert LeafMismatch(actionLeaves[leafIndex], expected);
    }
}

// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title RootBridge: pays out what a confirmed root of messages says, to obey one owner. An example of a protocol.
/// @notice An updater proposes roots; `confirmationDelay` later whoever shows a message under a root is paid.
///         The one function for the owner sets that delay, and it counts for roots already proposed: a longer
///         delay holds back every payout, also those of a forged root. It knows nothing of watchers.
///
///         Storage. slot 0 owner; slot 1 `confirmationDelay`; slot 2 `proposedAt` by root; slot 3 `isPaid` by leaf.
contract RootBridge is Ownable {
    using SafeERC20 for IERC20;

    IERC20 public immutable token;
    address public immutable updater;

    /// @notice Seconds between a root's proposal and the first payout under it.
    uint256 public confirmationDelay;

    /// @notice Unix seconds at which a root was proposed; zero: never.
    mapping(bytes32 root => uint256) public proposedAt;

    /// @notice Whether a message was paid.
    mapping(bytes32 leaf => bool) public isPaid;

    event Deposited(address indexed sender, bytes32 indexed recipient, uint256 units);
    event RootProposed(bytes32 indexed root);
    event Paid(address indexed recipient, uint256 units, uint256 nonce);
    event ConfirmationDelaySet(uint256 confirmationDelay);

    error NotUpdater(address caller);
    error RootUnknown(bytes32 root);
    error RootNotConfirmed(bytes32 root, uint256 confirmedAt, uint256 time);
    error ProofInvalid(bytes32 leaf);
    error AlreadyPaid(bytes32 leaf);

    constructor(IERC20 token_, address updater_, uint256 confirmationDelay_, address owner_) Ownable(owner_) {
        token = token_;
        updater = updater_;
        confirmationDelay = confirmationDelay_;
    }

    /// @notice The one function for the owner.
    function setConfirmationDelay(uint256 confirmationDelay_) external onlyOwner {
        confirmationDelay = confirmationDelay_;
        emit ConfirmationDelaySet(confirmationDelay_);
    }

    function propose(bytes32 root) external {
        if (msg.sender != updater) revert NotUpdater(msg.sender);
        proposedAt[root] = block.timestamp;
        emit RootProposed(root);
    }

    function deposit(bytes32 recipient, uint256 units) external {
        emit Deposited(msg.sender, recipient, units);
        token.safeTransferFrom(msg.sender, address(this), units);
    }

    /// @notice Pays the recipient of a message that stands under a confirmed root, once.
    function pay(bytes32 root, address recipient, uint256 units, uint256 nonce, bytes32[] calldata proof)
        external
    {
        if (proposedAt[root] == 0) revert RootUnknown(root);
        uint256 confirmedAt = proposedAt[root] + confirmationDelay;
        if (block.timestamp < confirmedAt) revert RootNotConfirmed(root, confirmedAt, block.timestamp);
        bytes32 leaf = leafOf(recipient, units, nonce);
        if (!MerkleProof.verifyCalldata(proof, root, leaf)) revert ProofInvalid(leaf);
        if (isPaid[leaf]) revert AlreadyPaid(leaf);
        isPaid[leaf] = true;
        emit Paid(recipient, units, nonce);
        token.safeTransfer(recipient, units);
    }

    /// @notice Leaf of a message; hashed twice, so that no inner node can pass for one.
    function leafOf(address recipient, uint256 units, uint256 nonce) public pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(recipient, units, nonce))));
    }
}

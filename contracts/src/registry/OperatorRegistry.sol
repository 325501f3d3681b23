// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {AlertLib} from "../libraries/AlertLib.sol";
import {Bls12381, G1Point, G2Point} from "../libraries/Bls12381.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";

/// @title OperatorRegistry: who watches, with which key and how much at stake
/// @notice Design. Lives on the network's home chain. An operator registers its BLS key with a proof that it
///         holds it, the peer id of its node and a bond in one ERC-20; weight is the bond. `capture`, open to
///         anyone, closes an epoch: it writes the set's header down and emits all that a watcher or another
///         chain needs to use it. An operator who asks to leave is no part of the next capture, and gets its
///         bond back after a delay that outlasts every header in which it stands.
///
///         Trust. No owner and no upgrade. The bond token must not charge on transfer (such a deposit is
///         refused) and not rebase. Registration is open, so the list can be filled by anyone who bonds
///         `minBond` per seat: choose it so that this costs more than it is worth. Slashing is a later issue.
///
///         Storage. slot 0: `_operators` address => Operator; slot 1: `_active` list of addresses; slot 2: `isKeyUsed`;
///         slot 3: `isPeerIdUsed`; slot 4: `headerHash` by epoch; slot 5: `currentEpoch` (4 bytes) and
///         `lastCaptureAt` (8 bytes).
contract OperatorRegistry {
    using SafeERC20 for IERC20;

    /// @param bond           tokens at stake, also the weight
    /// @param position       place in the list plus one; zero when not active
    /// @param withdrawableAt unix seconds from which the bond may be withdrawn; zero while active
    /// @param key            192 raw bytes of the public key
    /// @param peerId         multihash of the node's peer id
    struct Operator {
        uint96 bond;
        uint16 position;
        uint64 withdrawableAt;
        bytes32[6] key;
        bytes peerId;
    }

    /// @notice Cap of the set, so that a capture always fits into a block.
    uint256 public constant MAX_OPERATORS = HeaderLib.MAX_OPERATORS;
    uint256 public constant MAX_PEER_ID_BYTES = 64;

    uint256 private constant POINT_GAS_LIMIT = 200_000;
    uint256 private constant PAIRING_GAS_LIMIT = 1_000_000;

    /// @notice Token of the bond.
    IERC20 public immutable token;
    /// @notice Least bond of an operator, in units of the token.
    uint96 public immutable minBond;
    /// @notice Least time between two captures, seconds.
    uint64 public immutable minEpochInterval;
    /// @notice Life of a header after its capture, seconds.
    uint64 public immutable headerLifetime;
    /// @notice Time between leaving and withdrawing, seconds; longer than a header lives.
    uint64 public immutable unbondingDelay;
    /// @notice Name of the network whose operators stand here.
    bytes32 public immutable networkId;

    mapping(address => Operator) private _operators;
    address[] private _active;

    /// @notice Whether a key of this hash was ever registered; one key never counts twice, or for two.
    mapping(bytes32 publicKeyHash => bool) public isKeyUsed;

    /// @notice Whether an operator holds the peer id of this hash.
    mapping(bytes32 peerIdHash => bool) public isPeerIdUsed;

    /// @notice Hash of each epoch's header.
    mapping(uint32 epoch => bytes32) public headerHash;

    /// @notice Newest epoch; zero before the first capture.
    uint32 public currentEpoch;

    /// @notice Unix seconds of the newest capture.
    uint64 public lastCaptureAt;

    event OperatorRegistered(address indexed operator, uint96 bond, bytes publicKey, bytes peerId);
    event BondAdded(address indexed operator, uint96 added, uint96 bond);
    event ExitRequested(address indexed operator, uint64 withdrawableAt);
    event BondWithdrawn(address indexed operator, uint96 bond);

    /// @notice An epoch was closed. `leafPreimages` and `operators` are in the order of the operators' indices.
    event EpochCaptured(
        uint32 indexed epoch,
        bytes32 indexed headerHash,
        bytes header,
        bytes leafPreimages,
        address[] operators
    );

    error TokenZero();
    error MinBondZero();
    error UnbondingTooShort(uint64 unbondingDelay, uint64 headerLifetime);
    error BondTooSmall(uint256 given, uint256 minBond);
    error BondTooLarge(uint256 given, uint256 max);
    error BondNotReceived(uint256 received, uint256 expected);
    error AlreadyRegistered(address operator);
    error NotActive(address operator);
    error RegistryFull(uint256 max);
    error PublicKeyLength(uint256 given, uint256 expected);
    error PossessionLength(uint256 given, uint256 expected);
    error PeerIdLength(uint256 given, uint256 max);
    error KeyIsInfinity();
    error PossessionIsInfinity();
    error PossessionInvalid();
    error KeyUsed(bytes32 publicKeyHash);
    error PeerIdUsed(bytes32 peerIdHash);
    error CaptureTooEarly(uint256 time, uint256 notBefore);
    error NoOperators();
    error NotWithdrawable(uint256 time, uint64 withdrawableAt);

    constructor(
        IERC20 token_,
        uint96 minBond_,
        uint64 minEpochInterval_,
        uint64 headerLifetime_,
        uint64 unbondingDelay_
    ) {
        if (address(token_).code.length == 0) revert TokenZero();
        if (minBond_ == 0) revert MinBondZero();
        if (unbondingDelay_ <= headerLifetime_) revert UnbondingTooShort(unbondingDelay_, headerLifetime_);
        token = token_;
        minBond = minBond_;
        minEpochInterval = minEpochInterval_;
        headerLifetime = headerLifetime_;
        unbondingDelay = unbondingDelay_;
        networkId = AlertLib.networkId(block.chainid, address(this));
    }

    /// @notice Registers the sender as an operator.
    /// @param publicKey  192 raw bytes x.c0|x.c1|y.c0|y.c1, point of G2
    /// @param possession 96 raw bytes x|y, signature over `possessionDigest` under the tag of possession
    /// @param peerId     multihash of the node's peer id, at most 64 bytes
    /// @param bond       units of the token, moved from the sender, who has approved them
    function register(
        bytes calldata publicKey,
        bytes calldata possession,
        bytes calldata peerId,
        uint128 bond
    ) external {
        if (bond < minBond) revert BondTooSmall(bond, minBond);
        if (bond > type(uint96).max) revert BondTooLarge(bond, type(uint96).max);
        if (_active.length >= MAX_OPERATORS) revert RegistryFull(MAX_OPERATORS);
        Operator storage operator_ = _operators[msg.sender];
        if (operator_.bond != 0) revert AlreadyRegistered(msg.sender);
        if (peerId.length == 0 || peerId.length > MAX_PEER_ID_BYTES) {
            revert PeerIdLength(peerId.length, MAX_PEER_ID_BYTES);
        }
        bytes32 peerIdHash = keccak256(peerId);
        if (isPeerIdUsed[peerIdHash]) revert PeerIdUsed(peerIdHash);
        bytes32 publicKeyHash = keccak256(publicKey);
        if (isKeyUsed[publicKeyHash]) revert KeyUsed(publicKeyHash);
        _checkPossession(publicKey, possession, msg.sender);

        isKeyUsed[publicKeyHash] = true;
        isPeerIdUsed[peerIdHash] = true;
        _active.push(msg.sender);
        operator_.bond = uint96(bond);
        operator_.position = uint16(_active.length);
        operator_.withdrawableAt = 0;
        for (uint256 i = 0; i < 6; ++i) {
            operator_.key[i] = bytes32(publicKey[32 * i:32 * i + 32]);
        }
        operator_.peerId = peerId;
        emit OperatorRegistered(msg.sender, uint96(bond), publicKey, peerId);
        _receive(bond);
    }

    /// @notice Adds to the sender's bond; counts from the next capture.
    function addBond(uint128 added) external {
        Operator storage operator_ = _operators[msg.sender];
        if (operator_.position == 0) revert NotActive(msg.sender);
        if (added == 0) revert BondTooSmall(added, 1);
        uint256 bond = uint256(operator_.bond) + added;
        if (bond > type(uint96).max) revert BondTooLarge(bond, type(uint96).max);
        operator_.bond = uint96(bond);
        emit BondAdded(msg.sender, uint96(added), uint96(bond));
        _receive(added);
    }

    /// @notice Leaves the set from the next capture on; starts the delay after which the bond is free.
    function requestExit() external {
        Operator storage operator_ = _operators[msg.sender];
        uint256 position = operator_.position;
        if (position == 0) revert NotActive(msg.sender);
        address last = _active[_active.length - 1];
        _active[position - 1] = last;
        _operators[last].position = uint16(position);
        _active.pop();
        operator_.position = 0;
        uint64 withdrawableAt = uint64(block.timestamp) + unbondingDelay;
        operator_.withdrawableAt = withdrawableAt;
        isPeerIdUsed[keccak256(operator_.peerId)] = false;
        emit ExitRequested(msg.sender, withdrawableAt);
    }

    /// @notice Pays the bond back to an operator who has left, after the delay. Its key stays used for ever.
    function withdraw() external {
        Operator storage operator_ = _operators[msg.sender];
        uint64 withdrawableAt = operator_.withdrawableAt;
        if (withdrawableAt == 0 || block.timestamp < withdrawableAt) {
            revert NotWithdrawable(block.timestamp, withdrawableAt);
        }
        uint96 bond = operator_.bond;
        delete _operators[msg.sender];
        emit BondWithdrawn(msg.sender, bond);
        token.safeTransfer(msg.sender, bond);
    }

    /// @notice Closes an epoch: the active operators, in the order of the list, become the next set.
    /// @dev Open to anyone; the content follows from the state alone. Weak subjectivity: the header ends
    ///      `headerLifetime` later, before anyone in it can withdraw.
    function capture() external returns (uint32 epoch, bytes32 hash) {
        uint256 notBefore = currentEpoch == 0 ? 0 : uint256(lastCaptureAt) + minEpochInterval;
        if (block.timestamp < notBefore) revert CaptureTooEarly(block.timestamp, notBefore);
        if (_active.length == 0) revert NoOperators();

        epoch = currentEpoch + 1;
        bytes32 previous = headerHash[epoch - 1];
        currentEpoch = epoch;
        lastCaptureAt = uint64(block.timestamp);

        (HeaderLib.Header memory header, bytes memory leafPreimages) = _snapshot();
        header.epoch = epoch;
        header.prevHeaderHash = previous;
        bytes memory encoded = HeaderLib.encode(header);
        hash = keccak256(encoded);
        headerHash[epoch] = hash;
        emit EpochCaptured(epoch, hash, encoded, leafPreimages, _active);
    }

    /// @notice What `operator_` signs with its BLS key to register here.
    function possessionDigest(address operator_, bytes calldata publicKey) public view returns (bytes32) {
        return
            AlertLib.possessionDigest(
                networkId, block.chainid, address(this), operator_, keccak256(publicKey)
            );
    }

    /// @notice Number of operators that the next capture would take.
    function count() external view returns (uint256) {
        return _active.length;
    }

    /// @notice Operator at a place of the list, from 0; places move when somebody leaves.
    function operatorAt(uint256 position) external view returns (address) {
        return _active[position];
    }

    /// @notice One operator; all zero when unknown.
    function operator(address account)
        external
        view
        returns (uint96 bond, bool active, uint64 withdrawableAt, bytes memory publicKey, bytes memory peerId)
    {
        Operator storage operator_ = _operators[account];
        bond = operator_.bond;
        active = operator_.position != 0;
        withdrawableAt = operator_.withdrawableAt;
        publicKey = bond == 0 ? bytes("") : abi.encodePacked(operator_.key);
        peerId = operator_.peerId;
    }

    // ---- internals

    /// @dev The pairing also refuses keys and signatures off the curve, off the subgroup or not canonical.
    function _checkPossession(bytes calldata publicKey, bytes calldata possession, address operator_)
        private
        view
    {
        if (publicKey.length != HeaderLib.PUBLIC_KEY_BYTES) {
            revert PublicKeyLength(publicKey.length, HeaderLib.PUBLIC_KEY_BYTES);
        }
        if (possession.length != HeaderLib.SIGNATURE_BYTES) {
            revert PossessionLength(possession.length, HeaderLib.SIGNATURE_BYTES);
        }
        G2Point memory key = Bls12381.readG2(publicKey, 0);
        if (Bls12381.isInfinity(key)) revert KeyIsInfinity();
        G1Point memory signature = Bls12381.readG1(possession, 0);
        if (Bls12381.isInfinity(signature)) revert PossessionIsInfinity();
        bytes32 digest = possessionDigest(operator_, publicKey);
        G1Point memory hash =
            Bls12381.hashToG1(abi.encodePacked(digest), AlertLib.POSSESSION_DST, POINT_GAS_LIMIT);
        if (!Bls12381.isSignatureBy(signature, hash, key, PAIRING_GAS_LIMIT)) revert PossessionInvalid();
    }

    /// @dev Last step of a deposit. A token that charges on transfer would leave weight without tokens behind it.
    function _receive(uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != amount) revert BondNotReceived(received, amount);
    }

    /// @dev Sums keys by single additions: at weight one a multi-scalar multiplication costs 17 times as much.
    function _snapshot() private view returns (HeaderLib.Header memory header, bytes memory leafPreimages) {
        uint256 operators = _active.length;
        leafPreimages = new bytes(operators * HeaderLib.ENTRY_BYTES);
        bytes32[] memory leaves = new bytes32[](operators);
        G2Point memory apk;
        for (uint256 i = 0; i < operators; ++i) {
            Operator storage operator_ = _operators[_active[i]];
            bytes memory key = abi.encodePacked(operator_.key);
            bytes memory preimage = HeaderLib.encodeLeaf(uint16(i), operator_.bond, key);
            leaves[i] = keccak256(preimage);
            assembly ("memory-safe") {
                mcopy(add(add(leafPreimages, 32), mul(i, 206)), add(preimage, 32), 206)
            }
            header.totalWeight += operator_.bond;
            Bls12381.addG2(apk, Bls12381.loadG2(key, 0), POINT_GAS_LIMIT);
        }
        header.count = uint16(operators);
        header.captureBlock = uint64(block.number);
        header.captureTime = uint64(block.timestamp);
        header.validUntil = uint64(block.timestamp) + headerLifetime;
        header.leavesHash = keccak256(abi.encodePacked(leaves));
        header.apk = Bls12381.rawG2(apk);
    }
}

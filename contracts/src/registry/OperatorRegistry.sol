// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IStakeSource} from "../interfaces/IStakeSource.sol";
import {Alert, AlertLib} from "../libraries/AlertLib.sol";
import {Bls12381, G2Point} from "../libraries/Bls12381.sol";
import {HandoverLib} from "../libraries/HandoverLib.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";
import {Conflict, EquivocationProof} from "./EquivocationProof.sol";
import {OperatorRecord} from "./OperatorRecord.sol";
import {Possession} from "./Possession.sol";
import {WeightCap} from "./WeightCap.sol";

/// @notice Terms of a network of operators; fixed at deployment.
/// @param minStake         least stake of an operator, in the stake source's unit
/// @param minTotalStake    least stake of a whole set: a source that says zero for most must not leave a few
///                         with the quorum
/// @param maxShareBps      largest share of one operator's weight in a set, hundredths of a percent
/// @param slashBps         share of an equivocator's stake that is taken, hundredths of a percent
/// @param rewardBps        share of what is taken that the reporter earns, hundredths of a percent
/// @param minEpochInterval least time between two captures, seconds
/// @param headerLifetime   life of a header after its capture, seconds: an epoch, the time that handovers take
///                         to reach the slowest chain, and the grace there
/// @param evidenceWindow   time after a header's end in which its equivocators may be reported, seconds
struct NetworkTerms {
    uint96 minStake;
    uint128 minTotalStake;
    uint16 maxShareBps;
    uint16 slashBps;
    uint16 rewardBps;
    uint64 minEpochInterval;
    uint64 headerLifetime;
    uint64 evidenceWindow;
}

/// @notice What an operator brings.
/// @param publicKey  192 raw bytes x.c0|x.c1|y.c0|y.c1, point of G2
/// @param possession 96 raw bytes x|y, signature over `possessionDigest` under the tag of possession
/// @param peerId     multihash of the node's peer id, 1 to 64 bytes
/// @param metadata   whatever people should know, such as a URL, at most 256 bytes; only in the event
/// @param stakeData  the operator's words to the stake source
struct Registration {
    bytes publicKey;
    bytes possession;
    bytes peerId;
    string metadata;
    bytes stakeData;
}

/// @notice An alert and the hash of its list of actions: all that its digest binds.
struct Statement {
    Alert alert;
    bytes32 actionsHash;
}

/// @notice Why an operator left the list.
enum Removal {
    Exit,
    BelowMinimum,
    Displaced,
    Slashed
}

/// @title OperatorRegistry: who watches, with which key, and what becomes of those who sign two things
/// @notice Design. Lives on the network's home chain and holds no token: stake is the stake source's. An operator
///         registers its BLS key with a proof that it holds it, the peer id of its node, and its stake, in one
///         transaction. `capture`, open to anyone, closes an epoch: it writes the set's header down and
///         emits all that a watcher or another chain needs to use it. Weight is stake up to a ceiling that all
///         share (WeightCap). That binds operators; who stands behind several, nobody can see from here.
///
///         Keys and peer ids belong to who first registered them, for ever. So a key in any header that ever
///         was leads to its operator, and a new key takes effect with the next capture while the old one goes
///         on for as long as the headers that carry it.
///
///         Equivocation. Two alerts for one slot in one epoch, or two next sets for one set, signed by the same
///         operator, are proof; anyone may bring it. The two certificates must verify against a header of this
///         registry. Whoever signs at most one digest per slot and epoch, and at most one handover per set,
///         cannot be accused: an aggregate verifies only when every key in it has signed. Each fault is punished
///         once per operator. Evidence counts until `evidenceWindow` after the header's end, and stake that
///         stood behind that header is locked for longer: unbonding takes more than headerLifetime +
///         evidenceWindow, counted from when the stake stopped counting, which is after the capture. The reward
///         goes to who comes first; a reporter who fears to be copied uses a private relay. At most half is
///         reward, so that reporting oneself is never cheap. An equivocator loses its seat for good.
///
///         The list has 256 seats. When all are taken, more stake may take the seat of less; who loses a seat
///         can bring the same stake back with a new key, to the seat of somebody weaker.
///
///         Trust. No owner and no upgrade. The stake source is trusted as the token of a vault is: it says
///         what counts, and can halt captures by reverting. It is made first, with the address that this
///         contract will have, and the constructor checks that it serves this one: neither can be bound to
///         another, and there is nothing to initialise. (The two cannot both have CREATE2 addresses, since each
///         would stand in the other's code; CREATE by nonce and CREATE3 work.) Registration is open, so that
///         `minStake` and `minTotalStake` are what a false majority costs.
///
///         Storage. slot 0: `_operators` address => (record 20 bytes, position 2, isSlashed 1); slot 1: `_active`
///         list of addresses; slot 2: `operatorOfKey`; slot 3: `operatorOfPeerId`; slot 4: `headerHash` by
///         epoch; slot 5: `isPunished` fault => operator; slot 6: `currentEpoch` (4 bytes), `lastCaptureAt` (8).
contract OperatorRegistry {
    /// @param record    account whose code holds key and peer id; stays when the operator leaves
    /// @param position  place in the list plus one; zero when not active
    /// @param isSlashed found to have signed two things; never registers again
    struct Operator {
        address record;
        uint16 position;
        bool isSlashed;
    }

    /// @notice Seats of the set, so that a capture always fits into a block.
    uint256 public constant MAX_OPERATORS = HeaderLib.MAX_OPERATORS;
    /// @notice Most bytes of a peer id's multihash.
    uint256 public constant MAX_PEER_ID_BYTES = 64;
    /// @notice Most bytes of an operator's metadata.
    uint256 public constant MAX_METADATA_BYTES = 256;
    /// @notice Most that a reporter may earn of what is taken, hundredths of a percent.
    uint16 public constant MAX_REWARD_BPS = 5_000;

    uint256 private constant BPS = 10_000;
    uint256 private constant POINT_GAS_LIMIT = 200_000;
    uint256 private constant PAIRING_GAS_LIMIT = 1_000_000;

    /// @notice What stands behind the operators here.
    IStakeSource public immutable stakeSource;
    /// @notice Name of the network whose operators stand here.
    bytes32 public immutable networkId;
    /// @notice Least stake of an operator, in the stake source's unit.
    uint96 public immutable minStake;
    /// @notice Least stake of a whole set, in the stake source's unit.
    uint128 public immutable minTotalStake;
    /// @notice Largest share of one operator's weight, hundredths of a percent.
    uint16 public immutable maxShareBps;
    /// @notice Share of an equivocator's stake that is taken, hundredths of a percent.
    uint16 public immutable slashBps;
    /// @notice Share of what is taken that the reporter earns, hundredths of a percent.
    uint16 public immutable rewardBps;
    /// @notice Least time between two captures, seconds.
    uint64 public immutable minEpochInterval;
    /// @notice Life of a header after its capture, seconds.
    uint64 public immutable headerLifetime;
    /// @notice Time after a header's end in which evidence under it counts, seconds.
    uint64 public immutable evidenceWindow;

    mapping(address => Operator) private _operators;
    address[] private _active;

    /// @notice Who registered the key of this hash; zero when nobody ever did.
    mapping(bytes32 publicKeyHash => address) public operatorOfKey;

    /// @notice Who registered the peer id of this hash; zero when nobody ever did.
    mapping(bytes32 peerIdHash => address) public operatorOfPeerId;

    /// @notice Hash of each epoch's header.
    mapping(uint32 epoch => bytes32) public headerHash;

    /// @notice Whether an operator has paid for a fault; see `alertFault` and `handoverFault`.
    mapping(bytes32 fault => mapping(address operator => bool)) public isPunished;

    /// @notice Newest epoch; zero before the first capture.
    uint32 public currentEpoch;

    /// @notice Unix seconds of the newest capture.
    uint64 public lastCaptureAt;

    /// @notice An operator registered; it counts from the next capture on.
    event OperatorRegistered(address indexed operator, bytes publicKey, bytes peerId, string metadata);
    /// @notice The operator is no part of the next capture. Its stake is on its way out.
    event OperatorRemoved(address indexed operator, Removal indexed cause);
    /// @notice An operator has another key from the next capture on.
    event KeyRotated(address indexed operator, bytes publicKey);
    /// @notice An operator's node has another peer id.
    event PeerIdChanged(address indexed operator, bytes peerId);
    /// @notice An operator announced other metadata.
    event MetadataChanged(address indexed operator, string metadata);

    /// @notice An epoch was closed. `leafPreimages` and `operators` are in the order of the operators' indices.
    event EpochCaptured(
        uint32 indexed epoch,
        bytes32 indexed headerHash,
        bytes header,
        bytes leafPreimages,
        address[] operators
    );

    /// @notice An operator paid for a fault. `taken` is in the stake source's unit, and includes the reward.
    event OperatorSlashed(
        address indexed operator, bytes32 indexed fault, address indexed reporter, uint256 taken
    );

    error StakeSourceServesAnother(address stakeSource, address registry);
    error StakeBoundsInvalid(uint96 minStake, uint128 minTotalStake);
    error SharesInvalid(uint16 maxShareBps, uint16 slashBps, uint16 rewardBps);
    error LifetimeTooShort(uint64 headerLifetime, uint64 minEpochInterval);
    error UnbondingTooShort(uint64 unbondingDelay, uint256 evidenceLife);
    error AlreadyRegistered(address operator);
    error NotActive(address operator);
    error SlashedBefore(address operator);
    error RegistryFull(uint256 max);
    error RegistryNotFull(uint256 count, uint256 max);
    error StakeTooSmall(uint256 stake, uint256 minStake);
    error StakeNotLarger(uint256 stake, uint256 displacedStake);
    error StakeSufficient(uint256 stake, uint256 minStake);
    error PeerIdLength(uint256 given, uint256 max);
    error MetadataLength(uint256 given, uint256 max);
    error KeyUsed(bytes32 publicKeyHash, address by);
    error PeerIdUsed(bytes32 peerIdHash, address by);
    error CaptureTooEarly(uint256 time, uint256 notBefore);
    error TotalStakeTooSmall(uint256 totalStake, uint256 minTotalStake);
    error HeaderUnknown(uint32 epoch, bytes32 given, bytes32 captured);
    error EvidenceExpired(uint256 time, uint256 until);
    error StatementMismatch(uint32 epoch, bytes32 headerHash, bytes32 slotId);
    error HandoverEpochMismatch(uint32 handoverEpoch, uint32 headerEpoch);

    /// @param stakeSource_ made before, for this contract's address
    /// @param terms        see NetworkTerms
    constructor(IStakeSource stakeSource_, NetworkTerms memory terms) {
        if (stakeSource_.registry() != address(this)) {
            revert StakeSourceServesAnother(address(stakeSource_), stakeSource_.registry());
        }
        if (terms.minStake == 0 || terms.minTotalStake < terms.minStake) {
            revert StakeBoundsInvalid(terms.minStake, terms.minTotalStake);
        }
        if (
            terms.maxShareBps == 0 || terms.maxShareBps > BPS || terms.slashBps == 0 || terms.slashBps > BPS
                || terms.rewardBps > MAX_REWARD_BPS
        ) revert SharesInvalid(terms.maxShareBps, terms.slashBps, terms.rewardBps);
        // A set must live to see the next one, and no chain accepts epochs without a least distance.
        if (terms.minEpochInterval == 0 || terms.headerLifetime <= terms.minEpochInterval) {
            revert LifetimeTooShort(terms.headerLifetime, terms.minEpochInterval);
        }
        uint64 unbondingDelay = stakeSource_.unbondingDelay();
        uint256 evidenceLife = uint256(terms.headerLifetime) + terms.evidenceWindow;
        if (unbondingDelay <= evidenceLife) revert UnbondingTooShort(unbondingDelay, evidenceLife);

        stakeSource = stakeSource_;
        networkId = AlertLib.networkId(block.chainid, address(this));
        minStake = terms.minStake;
        minTotalStake = terms.minTotalStake;
        maxShareBps = terms.maxShareBps;
        slashBps = terms.slashBps;
        rewardBps = terms.rewardBps;
        minEpochInterval = terms.minEpochInterval;
        headerLifetime = terms.headerLifetime;
        evidenceWindow = terms.evidenceWindow;
    }

    // ---- operators

    /// @notice Registers the sender as an operator; it counts from the next capture on. Reverts when all seats
    ///         are taken.
    function register(Registration calldata registration) external {
        if (_active.length >= MAX_OPERATORS) revert RegistryFull(MAX_OPERATORS);
        _register(registration);
    }

    /// @notice The same when all seats are taken: the sender takes the seat of an operator with less stake.
    /// @param displaced who loses its seat; its stake is on its way out, and can come back
    function registerInPlaceOf(address displaced, Registration calldata registration) external {
        if (_active.length < MAX_OPERATORS) revert RegistryNotFull(_active.length, MAX_OPERATORS);
        uint256 displacedStake = stakeSource.stakeOf(displaced);
        _remove(displaced, Removal.Displaced);
        // The stake source is called between two changes of the list. It is fixed at deployment and trusted to run no
        // code of others meanwhile; `Reentrancy.t.sol` has tokens that try.
        // slither-disable-next-line reentrancy-no-eth
        uint256 stake = _register(registration);
        if (stake <= displacedStake) revert StakeNotLarger(stake, displacedStake);
    }

    /// @notice Gives the sender another key from the next capture on. The old one stays its own for ever: headers
    ///         that carry it go on to their end, and what it signs can be held against the sender until then.
    /// @param publicKey  as in Registration
    /// @param possession as in Registration, by the new key
    function rotateKey(bytes calldata publicKey, bytes calldata possession) external {
        Operator storage operator_ = _requireActive(msg.sender);
        _claimKey(publicKey, possession);
        operator_.record = OperatorRecord.write(publicKey, OperatorRecord.peerIdOf(operator_.record));
        emit KeyRotated(msg.sender, publicKey);
    }

    /// @notice Gives the sender's node another peer id, at once.
    function changePeerId(bytes calldata peerId) external {
        Operator storage operator_ = _requireActive(msg.sender);
        _claimPeerId(peerId);
        operator_.record = OperatorRecord.write(OperatorRecord.publicKeyOf(operator_.record), peerId);
        emit PeerIdChanged(msg.sender, peerId);
    }

    /// @notice Announces other metadata of the sender, at most 256 bytes.
    function changeMetadata(string calldata metadata) external {
        _requireActive(msg.sender);
        _requireMetadata(metadata);
        emit MetadataChanged(msg.sender, metadata);
    }

    /// @notice Leaves the set from the next capture on. The stake source pays the stake back after its delay.
    /// @dev Keep the node up until the last header that carries the sender has been followed by another.
    function exit() external {
        _remove(msg.sender, Removal.Exit);
    }

    // ---- anyone

    /// @notice Takes the seat of an operator whose stake has fallen below the minimum. Captures leave it out
    ///         already; this frees the seat.
    function eject(address operator_) external {
        uint256 stake = stakeSource.stakeOf(operator_);
        if (stake >= minStake) revert StakeSufficient(stake, minStake);
        _remove(operator_, Removal.BelowMinimum);
    }

    /// @notice Closes an epoch: the active operators with enough stake, in the order of the list, are the next
    ///         set.
    /// @dev The content follows from the state alone. Weak subjectivity: the header ends `headerLifetime` later,
    ///      before any stake that stands behind it is free.
    function capture() external returns (uint32 epoch, bytes32 hash) {
        uint256 notBefore = currentEpoch == 0 ? 0 : uint256(lastCaptureAt) + minEpochInterval;
        if (block.timestamp < notBefore) revert CaptureTooEarly(block.timestamp, notBefore);

        (address[] memory operators, uint256[] memory stakes) = _counted();
        (HeaderLib.Header memory header, bytes memory leafPreimages) = _snapshot(operators, stakes);
        epoch = currentEpoch + 1;
        header.epoch = epoch;
        header.prevHeaderHash = headerHash[epoch - 1];
        bytes memory encoded = HeaderLib.encode(header);
        hash = keccak256(encoded);

        currentEpoch = epoch;
        lastCaptureAt = uint64(block.timestamp);
        headerHash[epoch] = hash;
        emit EpochCaptured(epoch, hash, encoded, leafPreimages, operators);
    }

    /// @notice Punishes operators who signed two alerts for one slot in one epoch.
    /// @param first    an alert and the hash of its actions
    /// @param second   another for the same slot, epoch and header
    /// @param conflict certificates over the two, and the accused
    /// @return punished number of accused who had not paid for this slot yet; the others are passed over, so
    ///                  that a report of one of them cannot stall the report of all
    function slashForAlerts(Statement calldata first, Statement calldata second, Conflict calldata conflict)
        external
        returns (uint256 punished)
    {
        (uint32 epoch, bytes32 hash) = _requireEvidenceOpen(conflict);
        bytes32 slot = AlertLib.slotId(first.alert);
        bytes32 firstDigest = _digestOf(first, epoch, hash, slot);
        bytes32 secondDigest = _digestOf(second, epoch, hash, slot);
        EquivocationProof.requireProven(
            conflict, firstDigest, secondDigest, AlertLib.ALERT_DST, POINT_GAS_LIMIT, PAIRING_GAS_LIMIT
        );
        return _punish(conflict, alertFault(epoch, slot));
    }

    /// @notice Punishes operators who signed two next sets for one set.
    /// @dev A chain may know a set by more than its header, so that an honest operator signs as many handovers of
    ///      an epoch as there are kinds of chains; `setHash` tells them apart.
    /// @param epoch         epoch of the outgoing set
    /// @param setHash       hash of the outgoing set, as it stands in both digests
    /// @param firstNextSet  hash of the incoming set in the first digest
    /// @param secondNextSet the same in the second
    /// @param conflict      certificates over the two by the outgoing set, or two by the incoming one, and the
    ///                      accused
    /// @return punished     as in `slashForAlerts`
    function slashForHandovers(
        uint32 epoch,
        bytes32 setHash,
        bytes32 firstNextSet,
        bytes32 secondNextSet,
        Conflict calldata conflict
    ) external returns (uint256 punished) {
        (uint32 headerEpoch,) = _requireEvidenceOpen(conflict);
        if (headerEpoch != epoch && headerEpoch != uint256(epoch) + 1) {
            revert HandoverEpochMismatch(epoch, headerEpoch);
        }
        EquivocationProof.requireProven(
            conflict,
            HandoverLib.digest(networkId, epoch, setHash, firstNextSet),
            HandoverLib.digest(networkId, epoch, setHash, secondNextSet),
            HandoverLib.HANDOVER_DST,
            POINT_GAS_LIMIT,
            PAIRING_GAS_LIMIT
        );
        return _punish(conflict, handoverFault(epoch, setHash));
    }

    // ---- views

    /// @notice What `operator_` signs with its BLS key to register here.
    function possessionDigest(address operator_, bytes calldata publicKey) public view returns (bytes32) {
        return
            AlertLib.possessionDigest(
                networkId, block.chainid, address(this), operator_, keccak256(publicKey)
            );
    }

    /// @notice Name of the fault of signing two alerts for one slot in one epoch.
    function alertFault(uint32 epoch, bytes32 slotId) public pure returns (bytes32) {
        return keccak256(abi.encode(AlertLib.ALERT_TYPEHASH, epoch, slotId));
    }

    /// @notice Name of the fault of signing two next sets for one set.
    function handoverFault(uint32 epoch, bytes32 setHash) public pure returns (bytes32) {
        return keccak256(abi.encode(HandoverLib.HANDOVER_TYPEHASH, epoch, setHash));
    }

    /// @notice Number of taken seats.
    function count() external view returns (uint256) {
        return _active.length;
    }

    /// @notice Operator at a place of the list, from 0; places move when somebody leaves.
    function operatorAt(uint256 position) external view returns (address) {
        return _active[position];
    }

    /// @notice One operator. Key and peer id stay when it leaves, since headers go on with them; all empty when it
    ///         never registered.
    function operator(address account)
        external
        view
        returns (bool active, bool isSlashed, bytes memory publicKey, bytes memory peerId)
    {
        Operator storage operator_ = _operators[account];
        (active, isSlashed) = (operator_.position != 0, operator_.isSlashed);
        if (operator_.record != address(0)) {
            publicKey = OperatorRecord.publicKeyOf(operator_.record);
            peerId = OperatorRecord.peerIdOf(operator_.record);
        }
    }

    // ---- membership

    function _register(Registration calldata registration) private returns (uint256 stake) {
        Operator storage operator_ = _operators[msg.sender];
        if (operator_.position != 0) revert AlreadyRegistered(msg.sender);
        if (operator_.isSlashed) revert SlashedBefore(msg.sender);
        _requireMetadata(registration.metadata);
        _claimPeerId(registration.peerId);
        _claimKey(registration.publicKey, registration.possession);

        _active.push(msg.sender);
        operator_.record = OperatorRecord.write(registration.publicKey, registration.peerId);
        operator_.position = uint16(_active.length);
        emit OperatorRegistered(
            msg.sender, registration.publicKey, registration.peerId, registration.metadata
        );

        stakeSource.enter(msg.sender, registration.stakeData);
        stake = stakeSource.stakeOf(msg.sender);
        if (stake < minStake) revert StakeTooSmall(stake, minStake);
    }

    function _remove(address account, Removal cause) private {
        Operator storage operator_ = _requireActive(account);
        uint16 position = operator_.position;
        address last = _active[_active.length - 1];
        _active[position - 1] = last;
        _operators[last].position = position;
        _active.pop();
        operator_.position = 0;
        emit OperatorRemoved(account, cause);
        stakeSource.leave(account);
    }

    function _requireActive(address account) private view returns (Operator storage operator_) {
        operator_ = _operators[account];
        if (operator_.position == 0) revert NotActive(account);
    }

    /// @dev One key never counts twice, or for two; not even its own operator gets it again.
    function _claimKey(bytes calldata publicKey, bytes calldata possession) private {
        bytes32 hash = keccak256(publicKey);
        if (operatorOfKey[hash] != address(0)) revert KeyUsed(hash, operatorOfKey[hash]);
        bytes32 digest = possessionDigest(msg.sender, publicKey);
        Possession.requireProven(publicKey, possession, digest, POINT_GAS_LIMIT, PAIRING_GAS_LIMIT);
        operatorOfKey[hash] = msg.sender;
    }

    /// @dev An operator may come back with a peer id of its own; nobody gets another's.
    function _claimPeerId(bytes calldata peerId) private {
        if (peerId.length == 0 || peerId.length > MAX_PEER_ID_BYTES) {
            revert PeerIdLength(peerId.length, MAX_PEER_ID_BYTES);
        }
        bytes32 hash = keccak256(peerId);
        address holder = operatorOfPeerId[hash];
        if (holder == msg.sender) return;
        if (holder != address(0)) revert PeerIdUsed(hash, holder);
        operatorOfPeerId[hash] = msg.sender;
    }

    function _requireMetadata(string calldata metadata) private pure {
        uint256 size = bytes(metadata).length;
        if (size > MAX_METADATA_BYTES) revert MetadataLength(size, MAX_METADATA_BYTES);
    }

    // ---- capture

    /// @dev Nobody with less than the minimum counts, ejected or not.
    function _counted() private view returns (address[] memory operators, uint256[] memory stakes) {
        operators = _active;
        stakes = new uint256[](operators.length);
        uint256 counted = 0;
        uint256 total = 0;
        for (uint256 i = 0; i < stakes.length; ++i) {
            uint256 stake = stakeSource.stakeOf(operators[i]);
            if (stake < minStake) continue;
            if (stake > type(uint96).max) stake = type(uint96).max;
            (operators[counted], stakes[counted]) = (operators[i], stake);
            total += stake;
            ++counted;
        }
        // Before capping: a newcomer can lower the capped sum, and must not be able to stop captures by that.
        if (total < minTotalStake) revert TotalStakeTooSmall(total, minTotalStake);
        assembly ("memory-safe") {
            mstore(operators, counted)
            mstore(stakes, counted)
        }
    }

    /// @dev Sums keys by single additions: at weight one a multi-scalar multiplication costs 17 times as much.
    function _snapshot(address[] memory operators, uint256[] memory stakes)
        private
        view
        returns (HeaderLib.Header memory header, bytes memory leafPreimages)
    {
        uint256 ceiling = WeightCap.ceilingOf(stakes, maxShareBps);
        leafPreimages = new bytes(operators.length * HeaderLib.ENTRY_BYTES);
        bytes32[] memory leaves = new bytes32[](operators.length);
        G2Point memory apk;
        for (uint256 i = 0; i < operators.length; ++i) {
            uint96 weight = uint96(stakes[i] < ceiling ? stakes[i] : ceiling);
            bytes memory key = OperatorRecord.publicKeyOf(_operators[operators[i]].record);
            bytes memory preimage = HeaderLib.encodeLeaf(uint16(i), weight, key);
            leaves[i] = keccak256(preimage);
            assembly ("memory-safe") {
                mcopy(add(add(leafPreimages, 32), mul(i, 206)), add(preimage, 32), 206)
            }
            header.totalWeight += weight;
            Bls12381.addG2(apk, Bls12381.loadG2(key, 0), POINT_GAS_LIMIT);
        }
        header.count = uint16(operators.length);
        header.captureBlock = uint64(block.number);
        header.captureTime = uint64(block.timestamp);
        header.validUntil = uint64(block.timestamp) + headerLifetime;
        header.leavesHash = keccak256(abi.encodePacked(leaves));
        header.apk = Bls12381.rawG2(apk);
    }

    // ---- slashing

    /// @dev Evidence must be about a header of this registry, and stake behind it must still be locked.
    function _requireEvidenceOpen(Conflict calldata conflict)
        private
        view
        returns (uint32 epoch, bytes32 hash)
    {
        hash = EquivocationProof.headerHashOf(conflict);
        epoch = HeaderLib.epochOf(conflict.first);
        if (headerHash[epoch] != hash) revert HeaderUnknown(epoch, hash, headerHash[epoch]);
        uint256 until = uint256(HeaderLib.validUntilOf(conflict.first)) + evidenceWindow;
        if (block.timestamp > until) revert EvidenceExpired(block.timestamp, until);
    }

    function _digestOf(Statement calldata statement, uint32 epoch, bytes32 hash, bytes32 slot)
        private
        view
        returns (bytes32)
    {
        Alert calldata alert = statement.alert;
        bytes32 own = AlertLib.slotId(alert);
        if (alert.epoch != epoch || alert.headerHash != hash || own != slot) {
            revert StatementMismatch(alert.epoch, alert.headerHash, own);
        }
        return AlertLib.digest(networkId, alert, slot, statement.actionsHash);
    }

    /// @dev Each round marks its operator before it calls the stake source: whoever a source may call in turn
    ///      finds it punished.
    function _punish(Conflict calldata conflict, bytes32 fault) private returns (uint256 punished) {
        uint256 accused = EquivocationProof.countOf(conflict);
        for (uint256 i = 0; i < accused; ++i) {
            address account = operatorOfKey[EquivocationProof.keyHashOf(conflict, i)];
            if (isPunished[fault][account]) continue;
            // Each round writes before it calls the stake source, and finds what a call inside it has written.
            // slither-disable-next-line reentrancy-no-eth
            isPunished[fault][account] = true;
            ++punished;
            _operators[account].isSlashed = true;
            if (_operators[account].position != 0) _remove(account, Removal.Slashed);
            uint256 amount = stakeSource.slashableOf(account) * slashBps / BPS;
            uint256 taken = stakeSource.slash(account, amount, rewardBps, msg.sender);
            emit OperatorSlashed(account, fault, msg.sender, taken);
        }
    }
}

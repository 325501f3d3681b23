// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    ActionConfig,
    ActionState,
    BatchItem,
    Dependency,
    IGuardianEvents,
    Level,
    LiftTerms,
    Outcome,
    TankTerms
} from "./IGuardianEvents.sol";
import {IQuorumVerifier} from "./IQuorumVerifier.sol";
import {Alert} from "../libraries/AlertLib.sol";

/// @title IGuardianResponse: certificates in, restrictions out
/// @notice The half of a guardian that an incident runs through.
interface IGuardianResponse is IGuardianEvents {
    // ---- anyone

    /// @notice Delivers a certificate for one action: restricts its target, or finds that it is already so.
    ///         Anyone may call. Reverts where the alert may not act, lacks weight, or the target does not obey;
    ///         nothing is used up then.
    /// @param alert        what the operators signed
    /// @param actionLeaves hashes of all actions that the alert names, on all chains
    /// @param leafIndex    place of this guardian's action among them
    /// @param actionId     action, as the owner named it
    /// @param params       parameters that the leaf binds
    /// @param certificate  as `IQuorumVerifier.verify` takes it
    /// @return outcome     Acted or AlreadyActive
    function respond(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        uint256 leafIndex,
        bytes32 actionId,
        bytes calldata params,
        bytes calldata certificate
    ) external returns (Outcome outcome);

    /// @notice Delivers a certificate for several actions of this guardian. Anyone may call. An action that is
    ///         refused or whose target fails is Failed and leaves no trace; the others are carried out. Reverts
    ///         where the gas does not suffice for all.
    function respondMany(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        BatchItem[] calldata items,
        bytes calldata certificate
    ) external returns (Outcome[] memory outcomes);

    /// @notice Delivers an all-clear: ends the restriction that its leaf names, with the action's own threshold,
    ///         not before the owner's `minHold`. Anyone may call. Nothing to end: NotActive, no revert.
    /// @return outcome Acted or NotActive
    function clear(
        Alert calldata alert,
        bytes32[] calldata actionLeaves,
        uint256 leafIndex,
        bytes32 actionId,
        bytes calldata params,
        bytes calldata certificate
    ) external returns (Outcome outcome);

    // ---- views

    /// @notice For how many past blocks an alert's anchor is checked against this chain's own memory; zero: the
    ///         check is off, and the quorum's word stands alone.
    function anchorRange() external view returns (uint256 blocks);
}

/// @title IGuardianOffice: what the owner does, what runs out, and what watchers ask
/// @notice The half of a guardian that is in no hurry.
interface IGuardianOffice is IGuardianEvents {
    // ---- the factory

    /// @notice Called once by the factory, in the transaction that creates the clone.
    function initialize(address owner_, bytes32 policyHash_) external;

    // ---- anyone

    /// @notice Ends a restriction whose time is over. Anyone may call. Reverts with NotActive, NotYetExpired, or
    ///         ActionFailed where the target does not let go.
    function expire(bytes32 actionId) external;

    /// @notice Tries an action and says how that went: always reverts with `DryRun`. For `eth_call`, by anyone.
    function dryRun(bytes32 actionId, bytes calldata params) external;

    // ---- the owner

    /// @notice Ends a restriction at once. Only the owner. Reverts with NotActive, or ActionFailed where the
    ///         target does not let go.
    function lift(bytes32 actionId) external;

    /// @notice Makes a restriction governance's own: it no longer runs out, and the network will not lift it.
    ///         Only the owner.
    function adopt(bytes32 actionId) external;

    /// @notice Withdraws approval of the policy, so that nothing can act, and releases every restriction. Only
    ///         the owner. Never reverts for a target's sake: what does not let go is a `ReleaseFailed`.
    function disconnect() external;

    /// @notice Approves the policy under which alerts may act; zero withdraws approval. Only the owner.
    function setPolicy(bytes32 policyHash) external;

    /// @notice Allows an action, or changes one that is not active. Alerts observed until now cannot use it. Only
    ///         the owner.
    function setAction(bytes32 actionId, ActionConfig calldata config) external;

    /// @notice Forgets an action that is not active, with its lift terms and predecessor. Its state stays, so
    ///         that no old alert comes back with it. Only the owner.
    function removeAction(bytes32 actionId) external;

    /// @notice How restrictions of an action may end early, and what follows. Without this no all-clear ends
    ///         them and nothing follows. Only the owner.
    function setLiftTerms(bytes32 actionId, LiftTerms calldata terms) external;

    /// @notice Names the limit that must be in force before an induced alert may use `actionId`; zero: none
    ///         may. Only the owner.
    function setPredecessor(bytes32 actionId, bytes32 predecessor) external;

    /// @notice Longest chain of causes that an alert may have. Only the owner.
    function setMaxCauseDepth(uint8 maxCauseDepth) external;

    /// @notice Declares on whose guardians this protocol depends; replaces the list. Only the owner.
    function setDependencies(Dependency[] calldata dependencies) external;

    /// @notice What the tank pays. Only the owner.
    function setTank(TankTerms calldata terms) external;

    /// @notice Takes ether out of the tank. Only the owner.
    function withdraw(address payable to, uint256 amountWei) external;

    // ---- itself

    /// @notice Sets `graceAction`, without parameters, for the grace of `ended`. Only this guardian itself.
    function beginGrace(bytes32 ended, bytes32 graceAction, uint24 graceSeconds) external;

    // ---- views

    /// @notice Counts signatures.
    function verifier() external view returns (IQuorumVerifier);

    /// @notice The network of operators that this guardian listens to.
    function networkId() external view returns (bytes32);

    /// @notice Policy under which alerts may act; zero: none.
    function policyHash() external view returns (bytes32);

    /// @notice Longest chain of causes that an alert may have.
    function maxCauseDepth() external view returns (uint8);

    /// @notice Guardians on whose responses alerts may follow.
    function dependencies() external view returns (Dependency[] memory);

    /// @notice Actions that the owner has set, in no particular order.
    function actionIds() external view returns (bytes32[] memory);

    /// @notice The action as the owner set it; `thresholdBps` is zero when there is none.
    function action(bytes32 actionId) external view returns (ActionConfig memory);

    /// @notice Where the action stands.
    function state(bytes32 actionId) external view returns (ActionState memory);

    /// @notice How restrictions of the action may end early, and what follows.
    function liftTerms(bytes32 actionId) external view returns (LiftTerms memory);

    /// @notice Limit that must be in force before an induced alert may use the action; zero: none may.
    function predecessorOf(bytes32 actionId) external view returns (bytes32);

    /// @notice Seconds of restriction that could be set now.
    function budgetLeft(bytes32 actionId) external view returns (uint256 seconds_);

    /// @notice What the tank pays, and when its whole budget will be there again.
    function tank() external view returns (TankTerms memory terms, uint40 budgetFullAt);

    /// @notice Whether the action could be carried out now; `reason` is an ASCII word otherwise. With `ok` it is
    ///         a warning: TANK_LOW or ANCHOR_UNCHECKED.
    function readiness(bytes32 actionId) external view returns (bool ok, bytes32 reason);
}

/// @title IGuardian: brakes one protocol on the word of a quorum, for a bounded time
/// @notice Three kinds of caller: anyone delivers certificates and ends what is over; the owner fixes terms and
///         ends what it likes; views are for watchers.
interface IGuardian is IGuardianResponse, IGuardianOffice {
    /// @notice The protocol's governance.
    function owner() external view returns (address);

    /// @notice Asks to become the owner, for 48 hours. Anyone may call.
    function requestOwnershipHandover() external;

    /// @notice Makes `pendingOwner`, who has asked, the owner. Only the owner.
    function completeOwnershipHandover(address pendingOwner) external;
}

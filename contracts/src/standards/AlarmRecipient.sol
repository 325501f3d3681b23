// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC7786Recipient} from "@openzeppelin/contracts/crosschain/ERC7786Recipient.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";
import {Alarm} from "./AlarmSource.sol";

/// @title AlarmRecipient: which guardians of another chain hold an action in force, as ERC-7786 gateways tell it
/// @notice Design. Deploy it as it is and ask `isAlarmed`, or inherit it and put `whenNotAlarmed` on functions. It
///         takes messages of one AlarmSource on one chain, by gateways that are fixed at deployment, and keeps for
///         each guardian and action the latest end that it heard of. So a message that comes twice, late or out of
///         order changes nothing. An end that is heard of is the end: a restriction that is lifted early on
///         its own chain goes on here until then. A protocol that must be able to resume earlier keeps a switch of
///         its own.
///
///         Trust. Each gateway alone can raise any alarm for MAX_ALARM, again and again, so name those that the
///         protocol trusts with more already. Nobody can end one.
///
///         Storage. slot 0 `isGateway`; slot 1 `alarmedUntil`.
contract AlarmRecipient is ERC7786Recipient {
    using InteroperableAddress for bytes;

    /// @notice Furthest end that is believed, seconds from now: a guardian's longest restriction, 30 days, and a day
    ///         for clocks of chains to differ by.
    uint64 public constant MAX_ALARM = 31 days;

    /// @notice Chain that alarms come from.
    uint256 public immutable sourceChainId;

    /// @notice The AlarmSource there.
    address public immutable source;

    /// @notice Whether this contract believes a gateway of this chain.
    mapping(address gateway => bool) public isGateway;

    /// @notice Unix second until which the action is in force, as far as it was heard of.
    mapping(address guardian => mapping(bytes32 actionId => uint64)) public alarmedUntil;

    /// @notice A gateway that is believed, once for each at deployment.
    event GatewayTrusted(address indexed gateway);
    /// @notice A later end than before was heard of.
    event AlarmRaised(address indexed guardian, bytes32 indexed actionId, uint64 until, bytes32 receiveId);

    error GatewaysMissing();
    error AlarmTooLong(uint64 until, uint256 max);
    error ValueRefused(uint256 value);
    error Alarmed(address guardian, bytes32 actionId, uint64 until);

    /// @notice Refuses while the action is in force.
    modifier whenNotAlarmed(address guardian, bytes32 actionId) {
        if (isAlarmed(guardian, actionId)) {
            revert Alarmed(guardian, actionId, alarmedUntil[guardian][actionId]);
        }
        _;
    }

    /// @param sourceChainId_ EIP-155 id of the chain that alarms come from
    /// @param source_        AlarmSource there
    /// @param gateways       ERC-7786 gateways of this chain that are believed
    constructor(uint256 sourceChainId_, address source_, address[] memory gateways) {
        if (gateways.length == 0) revert GatewaysMissing();
        sourceChainId = sourceChainId_;
        source = source_;
        for (uint256 i = 0; i < gateways.length; ++i) {
            isGateway[gateways[i]] = true;
            emit GatewayTrusted(gateways[i]);
        }
    }

    /// @notice Whether the guardian's action is in force, as far as it was heard of. Anyone may ask.
    function isAlarmed(address guardian, bytes32 actionId) public view virtual returns (bool) {
        return block.timestamp < alarmedUntil[guardian][actionId];
    }

    /// @inheritdoc ERC7786Recipient
    function _isAuthorizedGateway(address gateway, bytes calldata sender)
        internal
        view
        override
        returns (bool)
    {
        (bool isEvm, uint256 chainId, address account) = sender.tryParseEvmV1Calldata();
        return isGateway[gateway] && isEvm && chainId == sourceChainId && account == source;
    }

    /// @dev Later ends only: whatever the order of messages, the last word is the same.
    function _processMessage(address, bytes32 receiveId, bytes calldata, bytes calldata payload)
        internal
        override
    {
        if (msg.value != 0) revert ValueRefused(msg.value);
        Alarm memory alarm = abi.decode(payload, (Alarm));
        uint256 max = block.timestamp + MAX_ALARM;
        if (alarm.until > max) revert AlarmTooLong(alarm.until, max);
        if (alarm.until <= alarmedUntil[alarm.guardian][alarm.actionId]) return;
        alarmedUntil[alarm.guardian][alarm.actionId] = alarm.until;
        emit AlarmRaised(alarm.guardian, alarm.actionId, alarm.until, receiveId);
    }
}

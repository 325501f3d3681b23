// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ERC7786Recipient} from "@openzeppelin/contracts/crosschain/ERC7786Recipient.sol";
import {IERC7786GatewaySource} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";
import {Alarm, AlarmSource} from "../../src/standards/AlarmSource.sol";
import {AlarmRecipient} from "../../src/standards/AlarmRecipient.sol";
import {IRestrictions} from "../../src/standards/IRestrictions.sol";
import {Gateway} from "../mocks/Gateway.sol";
import {Guarded} from "../support/Guarded.sol";

/// @title A protocol on another chain that heeds alarms. For tests.
contract Heeding is AlarmRecipient {
    address private immutable _guardian;
    bytes32 private immutable _actionId;
    uint256 public borrowed;

    constructor(
        uint256 chainId,
        address source_,
        address[] memory gateways,
        address guardian,
        bytes32 actionId
    ) AlarmRecipient(chainId, source_, gateways) {
        (_guardian, _actionId) = (guardian, actionId);
    }

    function borrow(uint256 amount) external whenNotAlarmed(_guardian, _actionId) {
        borrowed += amount;
    }
}

/// @title A contract that says of itself what it likes. For tests.
contract SelfStyled is IRestrictions {
    uint64 private immutable _until;

    constructor(uint64 until) {
        _until = until;
    }

    function state(bytes32) external view returns (uint64) {
        return _until;
    }
}

contract AlarmsTest is Guarded {
    uint256 internal constant HERE = 31_337;
    uint256 internal constant THERE = 10;

    AlarmSource internal source = new AlarmSource();
    Gateway internal gateway = new Gateway();
    Gateway internal second = new Gateway();
    Heeding internal protocol;
    bytes internal recipient;

    function setUp() public {
        setUpGuardian();
        address[] memory gateways = new address[](2);
        (gateways[0], gateways[1]) = (address(gateway), address(second));
        protocol = new Heeding(HERE, address(source), gateways, address(guardian), PAUSE);
        recipient = InteroperableAddress.formatEvmV1(THERE, address(protocol));
    }

    /// @return index of the message in the gateway
    function publish() internal returns (uint256 index) {
        return publish(IRestrictions(address(guardian)), gateway);
    }

    function publish(IRestrictions guardian_, Gateway by) internal returns (uint256 index) {
        vm.chainId(HERE);
        return uint256(source.publish(guardian_, PAUSE, by, recipient)) - 1;
    }

    function receive_(uint256 index) internal {
        vm.chainId(THERE);
        gateway.deliver(index);
    }

    function payloadOf(uint64 until) internal view returns (bytes memory) {
        return abi.encode(address(guardian), PAUSE, until);
    }

    function sourceName() internal view returns (bytes memory) {
        return InteroperableAddress.formatEvmV1(HERE, address(source));
    }

    // ---- from chain to chain

    function test_AlarmReachesTheOtherChain() public {
        deliver(makeAlert());
        uint64 until = untilOf(PAUSE);

        vm.expectEmit(address(source));
        emit AlarmSource.AlarmPublished(
            address(guardian), PAUSE, until, address(gateway), recipient, bytes32(uint256(1))
        );
        uint256 index = publish();
        vm.expectEmit(address(protocol));
        emit AlarmRecipient.AlarmRaised(address(guardian), PAUSE, until, "id");
        receive_(index);

        assertTrue(protocol.isAlarmed(address(guardian), PAUSE));
        assertEq(protocol.alarmedUntil(address(guardian), PAUSE), until);
        vm.expectRevert(
            abi.encodeWithSelector(AlarmRecipient.Alarmed.selector, address(guardian), PAUSE, until)
        );
        protocol.borrow(1);
    }

    function test_AlarmEndsByItself() public {
        deliver(makeAlert());
        uint64 until = untilOf(PAUSE);
        receive_(publish());

        vm.warp(until - 1);
        assertTrue(protocol.isAlarmed(address(guardian), PAUSE));
        vm.warp(until);
        assertFalse(protocol.isAlarmed(address(guardian), PAUSE));
        protocol.borrow(1);

        assertEq(protocol.borrowed(), 1);
    }

    function test_NothingIsAlarmedBefore() public {
        assertFalse(protocol.isAlarmed(address(guardian), PAUSE));
        protocol.borrow(1);

        assertEq(protocol.borrowed(), 1);
    }

    function test_OtherActionsAndGuardiansAreNotAlarmed() public {
        deliver(makeAlert());
        receive_(publish());

        assertFalse(protocol.isAlarmed(address(guardian), "another"));
        assertFalse(protocol.isAlarmed(makeAddr("another"), PAUSE));
    }

    function test_SelfStyledGuardianAlarmsNobodyElse() public {
        SelfStyled stranger = new SelfStyled(uint64(vm.getBlockTimestamp() + 1 days));
        receive_(publish(stranger, gateway));

        assertTrue(protocol.isAlarmed(address(stranger), PAUSE));
        assertFalse(protocol.isAlarmed(address(guardian), PAUSE));
        protocol.borrow(1);
    }

    function test_FeeGoesToTheGateway() public {
        deliver(makeAlert());
        vm.deal(address(this), 1 ether);

        source.publish{value: 0.3 ether}(IRestrictions(address(guardian)), PAUSE, gateway, recipient);

        assertEq(gateway.fees(), 0.3 ether);
        assertEq(address(source).balance, 0);
    }

    // ---- source

    function expectNotInForce(uint64 until) internal {
        vm.expectRevert(
            abi.encodeWithSelector(AlarmSource.NotInForce.selector, PAUSE, until, vm.getBlockTimestamp())
        );
        source.publish(IRestrictions(address(guardian)), PAUSE, gateway, recipient);
    }

    function test_RevertIf_NothingIsInForce() public {
        expectNotInForce(0);
    }

    function test_RevertIf_TheActionIsOver() public {
        deliver(makeAlert());
        uint64 until = untilOf(PAUSE);

        vm.warp(until);
        expectNotInForce(until);
        vm.warp(until - 1);
        publish();
    }

    function test_RevertIf_TheOwnerHasLifted() public {
        deliver(makeAlert());
        vm.prank(owner);
        guardian.lift(PAUSE);

        expectNotInForce(0);
    }

    // ---- order

    function test_SecondDeliveryChangesNothing() public {
        deliver(makeAlert());
        uint256 index = publish();
        receive_(index);

        vm.recordLogs();
        receive_(index);

        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(protocol.alarmedUntil(address(guardian), PAUSE), untilOf(PAUSE));
    }

    function testFuzz_OrderOfMessagesDoesNotMatter(uint32[5] memory ends, uint256 seed) public {
        uint64 latest = 0;
        for (uint256 i = 0; i < 5; ++i) {
            uint64 until = uint64(vm.getBlockTimestamp() + 1 + ends[i] % 30 days);
            if (until > latest) latest = until;
            vm.chainId(HERE);
            vm.prank(address(source));
            gateway.sendMessage(recipient, payloadOf(until), new bytes[](0));
        }
        uint256 first = seed % 5;

        uint64 last = 0;
        for (uint256 i = 0; i < 10; ++i) {
            receive_((first + i * (1 + seed / 5 % 4)) % 5);
            uint64 now_ = protocol.alarmedUntil(address(guardian), PAUSE);
            assertGe(now_, last);
            last = now_;
        }

        assertEq(last, latest);
    }

    function test_LateMessageAboutAnEndedAlarmIsTaken() public {
        deliver(makeAlert());
        uint64 until = untilOf(PAUSE);
        uint256 index = publish();

        vm.warp(until + 1 days);
        receive_(index);

        assertFalse(protocol.isAlarmed(address(guardian), PAUSE));
    }

    // ---- who is believed

    function expectUnauthorized(Gateway by, bytes memory sender) internal {
        vm.expectRevert(
            abi.encodeWithSelector(
                ERC7786Recipient.ERC7786RecipientUnauthorizedGateway.selector, address(by), sender
            )
        );
        by.receive_(address(protocol), sender, payloadOf(uint64(vm.getBlockTimestamp() + 1 hours)));
    }

    function test_EachTrustedGatewayIsBelieved() public {
        deliver(makeAlert());
        uint256 index = publish(IRestrictions(address(guardian)), second);
        vm.chainId(THERE);
        second.deliver(index);

        assertTrue(protocol.isAlarmed(address(guardian), PAUSE));
        assertTrue(protocol.isGateway(address(gateway)));
        assertTrue(protocol.isGateway(address(second)));
    }

    function test_RevertIf_GatewayIsAStranger() public {
        expectUnauthorized(new Gateway(), sourceName());
    }

    function test_RevertIf_SenderIsNotTheSource() public {
        expectUnauthorized(gateway, InteroperableAddress.formatEvmV1(HERE, makeAddr("forger")));
        expectUnauthorized(gateway, InteroperableAddress.formatEvmV1(HERE + 1, address(source)));
        expectUnauthorized(gateway, InteroperableAddress.formatEvmV1(address(source)));
        expectUnauthorized(gateway, InteroperableAddress.formatEvmV1(HERE));
        expectUnauthorized(
            gateway, InteroperableAddress.formatV1(0x0002, hex"7a69", abi.encodePacked(source))
        );
        expectUnauthorized(gateway, "");
        expectUnauthorized(gateway, abi.encodePacked(source));
    }

    function test_RevertIf_AlarmIsLongerThanAnyRestriction() public {
        uint64 max = uint64(vm.getBlockTimestamp() + 31 days);

        vm.expectRevert(abi.encodeWithSelector(AlarmRecipient.AlarmTooLong.selector, max + 1, max));
        gateway.receive_(address(protocol), sourceName(), payloadOf(max + 1));
        gateway.receive_(address(protocol), sourceName(), payloadOf(max));

        assertEq(protocol.alarmedUntil(address(guardian), PAUSE), max);
    }

    function test_RevertIf_ValueComesWithTheMessage() public {
        vm.deal(address(this), 1);
        bytes memory payload = payloadOf(uint64(vm.getBlockTimestamp() + 1 hours));

        vm.expectRevert(abi.encodeWithSelector(AlarmRecipient.ValueRefused.selector, 1));
        gateway.receive_{value: 1}(address(protocol), sourceName(), payload);
    }

    function test_RevertIf_PayloadIsNoAlarm() public {
        vm.expectRevert();
        gateway.receive_(address(protocol), sourceName(), "");
        vm.expectRevert();
        gateway.receive_(
            address(protocol), sourceName(), abi.encode(address(guardian), PAUSE, uint256(1) << 64)
        );
    }

    function test_DeploymentNamesItsGateways() public {
        address[] memory gateways = new address[](1);
        gateways[0] = address(second);

        vm.expectEmit();
        emit AlarmRecipient.GatewayTrusted(address(second));
        AlarmRecipient made = new AlarmRecipient(HERE, address(source), gateways);

        assertEq(made.sourceChainId(), HERE);
        assertEq(made.source(), address(source));
        assertFalse(made.isGateway(address(gateway)));
    }

    function test_RevertIf_NobodyIsToBeBelieved() public {
        vm.expectRevert(AlarmRecipient.GatewaysMissing.selector);
        new AlarmRecipient(HERE, address(source), new address[](0));
    }
}

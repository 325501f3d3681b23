// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {Safe} from "@safe-global/safe-smart-account/contracts/Safe.sol";
import {BaseModuleGuard} from "@safe-global/safe-smart-account/contracts/base/ModuleManager.sol";
import {Enum} from "@safe-global/safe-smart-account/contracts/libraries/Enum.sol";
import {SafeProxy} from "@safe-global/safe-smart-account/contracts/proxies/SafeProxy.sol";
import {DemoToken} from "../../demo/DemoToken.sol";
import {Vault} from "../../demo/Vault.sol";
import {FixedCallAdapter} from "../../src/adapters/FixedCallAdapter.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {SafeModuleAdapter} from "../../src/adapters/SafeModuleAdapter.sol";
import {TargetAdapter} from "../../src/adapters/TargetAdapter.sol";
import {Bridge} from "../mocks/Bridge.sol";
import {AdapterProperties} from "./AdapterProperties.sol";

/// @dev Owners may bound what modules do.
contract RefusingGuard is BaseModuleGuard {
    error Refused();

    function checkModuleTransaction(address, uint256, bytes memory, Enum.Operation, address)
        external
        pure
        returns (bytes32)
    {
        revert Refused();
    }

    function checkAfterModuleExecution(bytes32, bool) external {}
}

/// @dev The target is a bridge that a Safe owns: Safe's own contracts, one owner.
contract SafeModuleAdapterTest is AdapterProperties {
    /// @dev Answers everything with one.
    bytes private constant CLAIMS_SUCCESS = hex"60015f5260205ff3";
    /// @dev The same, as it reverts.
    bytes private constant REVERTS_WITH_ONE = hex"60015f5260205ffd";

    uint256 private constant DELAY = 1 days;

    Bridge private bridge;
    Safe private safe;

    function setUp() public {
        safe = newSafe();
        bridge = new Bridge();
        bridge.transferOwnership(address(safe));
        vm.deal(address(safe), 5 ether);
        target = address(bridge);
        adapter = construct(guardian, target);
    }

    function newSafe() private returns (Safe created) {
        created = Safe(payable(address(new SafeProxy(address(new Safe())))));
        address[] memory owners = new address[](1);
        owners[0] = governance;
        created.setup(owners, 1, address(0), "", address(0), address(0), 0, payable(address(0)));
    }

    /// @dev As its owner: the signature says "whoever sends this approves".
    function execute(address to, bytes memory data) private {
        bytes memory signature = abi.encodePacked(uint256(uint160(governance)), uint256(0), uint8(1));
        vm.prank(governance);
        safe.execTransaction(
            to, 0, data, Enum.Operation.Call, 0, 0, 0, address(0), payable(address(0)), signature
        );
    }

    function construct(address guardian_, address target_) internal override returns (IAdapter) {
        return constructOn(guardian_, target_, address(safe), Bridge.setMinimumDelay.selector);
    }

    function constructOn(address guardian_, address target_, address safe_, bytes4 releaseSelector)
        public
        returns (IAdapter)
    {
        return new SafeModuleAdapter(
            guardian_,
            target_,
            safe_,
            abi.encodeCall(Bridge.setMinimumDelay, (DELAY)),
            abi.encodePacked(releaseSelector),
            abi.encodeWithSignature("minimumDelay()"),
            FixedCallAdapter.Compare.AtLeast,
            bytes32(DELAY),
            abi.encodeWithSignature("owner()")
        );
    }

    function grantRight() internal override {
        execute(address(safe), abi.encodeCall(safe.enableModule, (address(adapter))));
    }

    function missingRight() internal pure override returns (bytes32) {
        return "MODULE_NOT_ENABLED";
    }

    function isRestricted() internal view override returns (bool) {
        return bridge.minimumDelay() >= DELAY;
    }

    function liftByGovernance() internal override {
        setDelay(5);
    }

    function setDelay(uint256 delay) private {
        execute(address(bridge), abi.encodeCall(Bridge.setMinimumDelay, (delay)));
    }

    function testFuzz_RestoresExactlyWhatTheSafeHadSet(uint256 delay) public {
        delay = bound(delay, 0, DELAY - 1);
        grantRight();
        setDelay(delay);

        engage();
        assertEq(bridge.minimumDelay(), DELAY);
        assertTrue(release());
        assertEq(bridge.minimumDelay(), delay);
    }

    function test_TheSafeMakesTheFixedCallWithoutValueAndNeverByDelegatecall() public {
        grantRight();
        bytes memory fixedCall = abi.encodeCall(Bridge.setMinimumDelay, (DELAY));

        vm.expectCall(
            address(safe),
            abi.encodeCall(
                safe.execTransactionFromModuleReturnData, (target, 0, fixedCall, Enum.Operation.Call)
            ),
            1
        );
        vm.expectCall(target, 0, fixedCall, 1);
        engage();
        assertEq(address(safe).balance, 5 ether);
    }

    function test_OwnersTakeTheRightAway() public {
        grantRight();
        execute(address(safe), abi.encodeCall(safe.disableModule, (address(1), address(adapter))));

        expectReady("MODULE_NOT_ENABLED");
        vm.prank(guardian);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        adapter.engage("");
    }

    function test_NotReadyWhenTheSafeHasNoRightOnTheTarget() public {
        grantRight();
        execute(target, abi.encodeWithSignature("transferOwnership(address)", governance));

        expectReady("NO_RIGHT_TO_ENGAGE");
    }

    /// @dev A Safe does not revert with the call that it makes.
    function test_RevertIf_TheTargetRefusesTheSafe() public {
        grantRight();
        execute(target, abi.encodeWithSignature("transferOwnership(address)", governance));

        vm.prank(guardian);
        vm.expectPartialRevert(IAdapter.TargetFailed.selector);
        adapter.engage("");
    }

    function test_RevertIf_AModuleGuardRefuses() public {
        grantRight();
        execute(address(safe), abi.encodeCall(safe.setModuleGuard, (address(new RefusingGuard()))));

        vm.prank(guardian);
        vm.expectRevert(
            abi.encodeWithSelector(
                IAdapter.TargetFailed.selector, target, abi.encodePacked(RefusingGuard.Refused.selector)
            )
        );
        adapter.engage("");
    }

    function test_RevertIf_TheSafeHasNoCodeAnyMore() public {
        grantRight();
        vm.etch(address(safe), "");

        expectReady("MODULE_NOT_ENABLED");
        vm.prank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IAdapter.TargetFailed.selector, target, ""));
        adapter.engage("");
    }

    /// @dev What counts is what the target says, not what the Safe claims.
    function test_T33_ASafeThatLiesIsNotBelieved() public {
        grantRight();
        vm.etch(address(safe), CLAIMS_SUCCESS);
        engage();
        assertFalse(adapter.engaged());

        bytes[2] memory refusals = [ANSWERS_ALL_ONES, REVERTS_WITH_ONE];
        for (uint256 i = 0; i < refusals.length; i++) {
            vm.etch(address(safe), refusals[i]);
            vm.prank(guardian);
            vm.expectPartialRevert(IAdapter.TargetFailed.selector);
            adapter.engage("");
        }
    }

    function test_RevertIf_TheTargetIsTheSafeItselfOrTheSafeIsNone() public {
        vm.expectRevert(abi.encodeWithSelector(TargetAdapter.TargetHasNoCode.selector, governance));
        this.constructOn(guardian, target, governance, 0);
        vm.expectRevert(abi.encodeWithSelector(SafeModuleAdapter.TargetIsSafe.selector, target));
        this.constructOn(guardian, target, target, 0);
    }

    function test_AnAccessManagerIsAskedAboutTheSafe() public {
        AccessManager manager = new AccessManager(governance);
        Vault vault = new Vault(address(manager), new DemoToken("T", "T"), "Vault", "V");
        adapter = new SafeModuleAdapter(
            guardian,
            address(vault),
            address(safe),
            abi.encodeCall(Vault.setWithdrawLimit, (1)),
            abi.encodePacked(Vault.setWithdrawLimit.selector),
            abi.encodeWithSignature("withdrawLimit()"),
            FixedCallAdapter.Compare.AtMost,
            bytes32(uint256(1)),
            ""
        );
        grantRight();
        expectReady("NO_RIGHT_TO_ENGAGE");
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Vault.setWithdrawLimit.selector;
        vm.startPrank(governance);
        manager.setTargetFunctionRole(address(vault), selectors, 7);
        manager.grantRole(7, address(safe), 0);
        vm.stopPrank();

        expectReady(bytes32(0));
        engage();
        assertEq(vault.withdrawLimit(), 1);
        assertTrue(release());
        assertEq(vault.withdrawLimit(), type(uint256).max);
    }
}

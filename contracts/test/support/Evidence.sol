// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {HandoverLib} from "../../src/libraries/HandoverLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {Conflict} from "../../src/registry/EquivocationProof.sol";
import {Statement} from "../../src/registry/OperatorRegistry.sol";
import {Registered} from "./Registered.sol";
import {Signer} from "./Signer.sol";

/// @title Evidence: certificates over statements, put together from captured epochs. For tests.
/// @dev Sets of operators are bit masks over their indices.
abstract contract Evidence is Registered {
    struct Epoch {
        uint32 number;
        bytes header;
        bytes32 headerHash;
        bytes leaves;
        bytes[] entries;
    }

    function captureEpoch() internal returns (Epoch memory epoch) {
        (bytes memory header, bytes memory preimages,) = capture();
        epoch.number = registry.currentEpoch();
        epoch.header = header;
        epoch.headerHash = keccak256(header);
        epoch.entries = new bytes[](preimages.length / HeaderLib.ENTRY_BYTES);
        for (uint256 i = 0; i < epoch.entries.length; ++i) {
            epoch.entries[i] = slice(preimages, i * HeaderLib.ENTRY_BYTES, (i + 1) * HeaderLib.ENTRY_BYTES);
            epoch.leaves = bytes.concat(epoch.leaves, keccak256(epoch.entries[i]));
        }
    }

    /// @dev Alerts with the same `place` are for one slot; `variant` is everything else.
    function makeStatement(Epoch memory epoch, uint256 place, uint256 variant)
        internal
        view
        returns (Statement memory statement)
    {
        statement.alert.epoch = epoch.number;
        statement.alert.headerHash = epoch.headerHash;
        statement.alert.policyHash = keccak256("policy");
        statement.alert.ruleId = keccak256("rule");
        statement.alert.sourceChainId = block.chainid;
        statement.alert.anchorNumber = place;
        statement.alert.anchorHash = keccak256(abi.encode("block", place));
        statement.alert.verdict = AlertLib.VERDICT_THREAT;
        statement.alert.observedAt = 1_800_000_000;
        statement.alert.expiresAt = 1_800_003_600;
        statement.alert.evidenceHash = keccak256(abi.encode(variant));
        statement.actionsHash = keccak256("actions");
    }

    function slotOf(uint256 place) internal view returns (bytes32) {
        Epoch memory epoch;
        return this.slotIdOf(makeStatement(epoch, place, 0).alert);
    }

    function slotIdOf(Alert calldata alert) external pure returns (bytes32) {
        return AlertLib.slotId(alert);
    }

    function digestOf(Statement memory statement) internal view returns (bytes32) {
        return this.digestOfCalldata(statement);
    }

    function digestOfCalldata(Statement calldata statement) external view returns (bytes32) {
        Alert calldata alert = statement.alert;
        return AlertLib.digest(registry.networkId(), alert, AlertLib.slotId(alert), statement.actionsHash);
    }

    function handoverDigest(uint32 epoch, bytes32 setHash, bytes32 nextSet) internal view returns (bytes32) {
        return HandoverLib.digest(registry.networkId(), epoch, setHash, nextSet);
    }

    /// @dev Lists `signers` or, in the other mode, everybody else.
    function assemble(Epoch memory epoch, bytes memory signature, uint8 mode, uint256 signers)
        internal
        pure
        returns (bytes memory certificate)
    {
        uint256 operators = epoch.entries.length;
        uint256 listed = mode == HeaderLib.MODE_PRESENT ? signers : ~signers & ((1 << operators) - 1);
        bytes memory list;
        uint16 count = 0;
        for (uint256 i = 0; i < operators; ++i) {
            if (listed >> i & 1 == 0) continue;
            list = bytes.concat(list, epoch.entries[i]);
            ++count;
        }
        certificate = abi.encodePacked(epoch.header, signature, mode, count);
        if (count != 0) certificate = bytes.concat(certificate, epoch.leaves, list);
    }

    /// @dev Signed by the keys of the seeds 1 + index, as a test registers its operators.
    function certify(Epoch memory epoch, bytes32 digest, bytes memory tag, uint8 mode, uint256 signers)
        internal
        view
        returns (bytes memory)
    {
        uint256 sum = 0;
        for (uint256 i = 0; i < epoch.entries.length; ++i) {
            if (signers >> i & 1 == 1) sum = addmod(sum, Signer.key(i + 1), Signer.ORDER);
        }
        return assemble(epoch, Signer.sign(sum, digest, tag), mode, signers);
    }

    function entriesOf(Epoch memory epoch, uint256 accused) internal pure returns (bytes memory entries) {
        for (uint256 i = 0; i < epoch.entries.length; ++i) {
            if (accused >> i & 1 == 1) entries = bytes.concat(entries, epoch.entries[i]);
        }
    }

    function makeConflict(Epoch memory epoch, bytes memory first, bytes memory second, uint256 accused)
        internal
        pure
        returns (Conflict memory)
    {
        return
            Conflict({first: first, second: second, leaves: epoch.leaves, accused: entriesOf(epoch, accused)});
    }
}

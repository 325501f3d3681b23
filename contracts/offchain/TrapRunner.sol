// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title ITrap: what a trap for the Drosera network answers to.
/// @notice The public ABI, versions 2.x; written down here so that traps run as they are.
interface ITrap {
    struct EventLog {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    struct EventFilter {
        address contractAddress;
        string signature;
    }

    function collect() external view returns (bytes memory);
    function shouldRespond(bytes[] calldata samples) external view returns (bool, bytes memory);
    function shouldAlert(bytes[] calldata samples) external view returns (bool, bytes memory);
    function eventLogFilters() external view returns (EventFilter[] memory);
    function setEventLogs(EventLog[] calldata logs) external;
}

/// @title TrapRunner: creates a trap and asks it, within one `eth_call`.
/// @notice Never deployed: a watcher puts this code at an unused address for the length of a call, pinned to a
///         block, so that a trap sees the chain as it was there, its constructor runs, and nothing stays.
contract TrapRunner {
    /// @notice Expected code that creates a trap, came code that reverts, or creates nothing.
    error NotCreated();

    /// @notice The events that the trap wants to be told of; none where it does not say.
    function eventLogFilters(bytes calldata code) external returns (ITrap.EventFilter[] memory filters) {
        address trap = _create(code);
        (bool ok, bytes memory answer) = trap.staticcall(abi.encodeCall(ITrap.eventLogFilters, ()));
        // A trap that keeps to the two functions of the interface answers nothing here, or reverts.
        if (ok && answer.length != 0) filters = abi.decode(answer, (ITrap.EventFilter[]));
    }

    /// @notice What the trap collects at this block, when `logs` are the events that it asked for.
    function collect(bytes calldata code, ITrap.EventLog[] calldata logs) external returns (bytes memory) {
        ITrap trap = ITrap(_create(code));
        if (logs.length != 0) trap.setEventLogs(logs);
        return trap.collect();
    }

    /// @notice Whether the trap asks for a response, by what it collected; the newest block's sample first.
    function shouldRespond(bytes calldata code, bytes[] calldata samples)
        external
        returns (bool, bytes memory)
    {
        return ITrap(_create(code)).shouldRespond(samples);
    }

    /// @notice Whether the trap asks to call a person, by the same samples.
    function shouldAlert(bytes calldata code, bytes[] calldata samples)
        external
        returns (bool, bytes memory)
    {
        return ITrap(_create(code)).shouldAlert(samples);
    }

    function _create(bytes memory code) private returns (address trap) {
        assembly ("memory-safe") {
            trap := create(0, add(code, 0x20), mload(code))
        }
        if (trap.code.length == 0) revert NotCreated();
    }
}

"""The EVM's opcodes: their names, and how many words each takes from the stack and puts there.

From the Yellow Paper's appendix H and the EIPs since (145, 1014, 1052, 1153, 1344, 3198, 3855, 4844, 5656,
7516, 7939), up to the Osaka hard fork.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SLOAD: Final = 0x54
SSTORE: Final = 0x55
CREATIONS: Final = frozenset({0xF0, 0xF5})
COPIES: Final = range(0x80, 0x90)
SWAPS: Final = range(0x90, 0xA0)
CALLS: Final = frozenset({0xF1, 0xF2, 0xF4, 0xFA})


class Opcode(NamedTuple):
    """One opcode: words taken, then words put."""

    name: str
    pops: int
    pushes: int


# From each number on: names, separated by blanks, that take and put as many words.
_RUNS: Final[tuple[tuple[int, str, int, int], ...]] = (
    (0x00, "STOP", 0, 0),
    (0x01, "ADD MUL SUB DIV SDIV MOD SMOD", 2, 1),
    (0x08, "ADDMOD MULMOD", 3, 1),
    (0x0A, "EXP SIGNEXTEND", 2, 1),
    (0x10, "LT GT SLT SGT EQ", 2, 1),
    (0x15, "ISZERO", 1, 1),
    (0x16, "AND OR XOR", 2, 1),
    (0x19, "NOT", 1, 1),
    (0x1A, "BYTE SHL SHR SAR", 2, 1),
    (0x1E, "CLZ", 1, 1),
    (0x20, "KECCAK256", 2, 1),
    (0x30, "ADDRESS", 0, 1),
    (0x31, "BALANCE", 1, 1),
    (0x32, "ORIGIN CALLER CALLVALUE", 0, 1),
    (0x35, "CALLDATALOAD", 1, 1),
    (0x36, "CALLDATASIZE", 0, 1),
    (0x37, "CALLDATACOPY", 3, 0),
    (0x38, "CODESIZE", 0, 1),
    (0x39, "CODECOPY", 3, 0),
    (0x3A, "GASPRICE", 0, 1),
    (0x3B, "EXTCODESIZE", 1, 1),
    (0x3C, "EXTCODECOPY", 4, 0),
    (0x3D, "RETURNDATASIZE", 0, 1),
    (0x3E, "RETURNDATACOPY", 3, 0),
    (0x3F, "EXTCODEHASH BLOCKHASH", 1, 1),
    (0x41, "COINBASE TIMESTAMP NUMBER PREVRANDAO GASLIMIT CHAINID SELFBALANCE BASEFEE", 0, 1),
    (0x49, "BLOBHASH", 1, 1),
    (0x4A, "BLOBBASEFEE", 0, 1),
    (0x50, "POP", 1, 0),
    (0x51, "MLOAD", 1, 1),
    (0x52, "MSTORE MSTORE8", 2, 0),
    (0x54, "SLOAD", 1, 1),
    (0x55, "SSTORE", 2, 0),
    (0x56, "JUMP", 1, 0),
    (0x57, "JUMPI", 2, 0),
    (0x58, "PC MSIZE GAS", 0, 1),
    (0x5B, "JUMPDEST", 0, 0),
    (0x5C, "TLOAD", 1, 1),
    (0x5D, "TSTORE", 2, 0),
    (0x5E, "MCOPY", 3, 0),
    (0x5F, " ".join(f"PUSH{n}" for n in range(33)), 0, 1),
    *((0x80 + n, f"DUP{n + 1}", n + 1, n + 2) for n in range(16)),
    *((0x90 + n, f"SWAP{n + 1}", n + 2, n + 2) for n in range(16)),
    *((0xA0 + n, f"LOG{n}", n + 2, 0) for n in range(5)),
    (0xF0, "CREATE", 3, 1),
    (0xF1, "CALL CALLCODE", 7, 1),
    (0xF3, "RETURN", 2, 0),
    (0xF4, "DELEGATECALL", 6, 1),
    (0xF5, "CREATE2", 4, 1),
    (0xFA, "STATICCALL", 6, 1),
    (0xFD, "REVERT", 2, 0),
    (0xFE, "INVALID", 0, 0),
    (0xFF, "SELFDESTRUCT", 1, 0),
)

OPCODES: Final = {
    first + place: Opcode(name, pops, pushes)
    for first, names, pops, pushes in _RUNS
    for place, name in enumerate(names.split())
}

_OLD_NAMES: Final = {"SHA3": 0x20, "DIFFICULTY": 0x44, "RANDOM": 0x44, "SUICIDE": 0xFF}
CODES: Final = {opcode.name: code for code, opcode in OPCODES.items()} | _OLD_NAMES
"""The number of each name, those that nodes still use of old too."""

HALT: Final = Opcode("", 0, 0)
"""What an undefined opcode does: it ends its frame."""

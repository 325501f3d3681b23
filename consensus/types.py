"""The names of values that a mix-up would make costly. Nothing else happens here.

Arithmetic on a NewType gives the plain `int`: wrap again where the meaning is regained.
"""

from typing import NewType

ChainId = NewType("ChainId", int)
"""EIP-155 chain id; below 2**64, which MessagePack carries and EIP-2294 keeps to."""

BlockNumber = NewType("BlockNumber", int)
"""Height of a block; below 2**64."""

Seconds = NewType("Seconds", int)
"""Unix time or a duration, in whole seconds."""

Weight = NewType("Weight", int)
"""Stake in the registry's units; one operator below 2**96, a set below 2**128."""

OperatorIndex = NewType("OperatorIndex", int)
"""Place of an operator in its epoch's set, from 0."""

Signers = NewType("Signers", int)
"""Some operators of one set as a bitmap: bit i is operator i; below 2**256."""

Epoch = NewType("Epoch", int)
"""Number of an operator set; below 2**32."""

Bps = NewType("Bps", int)
"""Hundredths of a percent; 10_000 is the whole."""

Digest = NewType("Digest", bytes)
"""What is signed: keccak256 of a typed structure, 32 bytes."""

SlotId = NewType("SlotId", bytes)
"""What may be signed once per operator and epoch, 32 bytes."""

PolicyHash = NewType("PolicyHash", bytes)
"""Hash of a policy's canonical form, 32 bytes."""

RuleId = NewType("RuleId", bytes)
"""keccak256 of the rule's name in UTF-8, 32 bytes."""

BlockHash = NewType("BlockHash", bytes)
"""Hash of a block, 32 bytes."""

HeaderHash = NewType("HeaderHash", bytes)
"""keccak256 of an operator set's header, 32 bytes."""

NetworkId = NewType("NetworkId", bytes)
"""Hash of the home chain and the registry, 32 bytes."""

ActionId = NewType("ActionId", bytes)
"""keccak256 of the action's name in UTF-8, 32 bytes."""

Address = NewType("Address", str)
"""EIP-55 checksummed hexadecimal address with 0x, 42 characters."""

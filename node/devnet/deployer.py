"""Deploys and drives contracts on a local chain from its unlocked accounts.

Only for local chains: nothing is signed here, anvil signs for the accounts it knows. ABIs and bytecode are
the package data, encoding and decoding are web3's, over the node's own pool.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from eth_typing import ChecksumAddress, HexAddress, HexStr
from web3.logs import DISCARD
from web3.types import Nonce
from web3.utils import get_create_address

from consensus.errors import Broken
from consensus.fields import address_from_hex
from consensus.types import Address, BlockNumber, ChainId, Seconds
from node.chain.abi import load_artifact
from node.chain.rpc import RpcPool, open_pool
from node.chain.types import Endpoint
from node.chain.web3_provider import open_web3
from node.devnet.anvil import Anvil

MINED_SECONDS, POLL_SECONDS = 10, 0.005
RPC_SECONDS = 60.0  # a verifier with a hundred keys takes its time to deploy
GAS = 12_000_000  # below EIP-7825's cap of 2**24; anvil's own estimate would cost a call each


class Deployer:
    """One local chain, its accounts and its clock."""

    def __init__(self, pool: RpcPool, accounts: tuple[Address, ...]) -> None:
        self._pool = pool
        self._web3 = open_web3(pool)
        self.accounts = accounts

    @classmethod
    async def connect(cls, pool: RpcPool) -> Deployer:
        """A deployer that knows the chain's unlocked accounts."""
        accounts = await pool.call("eth_accounts")
        assert isinstance(accounts, list)
        return cls(pool, tuple(address_from_hex(str(account)) for account in accounts))

    @property
    def pool(self) -> RpcPool:
        """For what has no method here."""
        return self._pool

    @property
    def chain_id(self) -> ChainId:
        return self._pool.chain_id

    @property
    def governance(self) -> Address:
        """The account that deploys and owns everything here."""
        return self.accounts[0]

    async def deploy(self, name: str, *arguments: Any) -> Address:
        """Create contract `name`; its address."""
        return await self.deploy_as(self.governance, name, *arguments)

    async def deploy_as(self, sender: Address, name: str, *arguments: Any) -> Address:
        """The same from another account, for contracts that remember who made them."""
        data = self._contract(name).constructor(*arguments).data_in_transaction
        receipt = await self._mined({"from": sender, "data": data, "gas": hex(GAS)}, f"deploy {name}")
        return address_from_hex(receipt["contractAddress"])

    async def next_address(self, *, ahead: int = 0) -> Address:
        """Where governance's next deployment will stand, or the one after `ahead` other transactions."""
        sender = ChecksumAddress(HexAddress(HexStr(self.governance)))
        count = await self._pool.call("eth_getTransactionCount", (sender, "latest"))
        return Address(get_create_address(sender, Nonce(int(str(count), 16) + ahead)))

    async def send(
        self, name: str, at: Address, function: str, *arguments: Any, sender: Address | None = None
    ) -> dict[str, Any]:
        """Call `function` of the contract `name` at `at` in a transaction; its receipt.

        `Broken` when it reverts.
        """
        data = self.encode(name, function, *arguments)
        transaction = {"from": sender or self.governance, "to": at, "data": data, "gas": hex(GAS)}
        return await self._mined(transaction, f"{name}.{function}")

    async def send_data(self, at: Address, data: bytes, what: str) -> dict[str, Any]:
        """The same for calldata that somebody else encoded; `what` names it in an error."""
        transaction = {"from": self.governance, "to": at, "data": f"0x{data.hex()}", "gas": hex(GAS)}
        return await self._mined(transaction, what)

    async def submit(self, transaction: dict[str, Any]) -> str:
        """Send a raw call into the pool without waiting for its block; the transaction's hash."""
        return str(await self._pool.call("eth_sendTransaction", ({"gas": hex(GAS), **transaction},)))

    async def receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        """The receipt when it is mined."""
        receipt = await self._pool.call("eth_getTransactionReceipt", (transaction_hash,))
        assert receipt is None or isinstance(receipt, dict)
        return receipt

    async def read(self, name: str, at: Address, function: str, *arguments: Any) -> Any:
        """What a view says at the latest block: one value, or a tuple."""
        return await self._contract(name, at).functions[function](*arguments).call()

    async def call(self, at: Address, data: bytes) -> bytes:
        """What a contract answers at the latest block, as it answers."""
        returned = await self._pool.call("eth_call", ({"to": at, "data": f"0x{data.hex()}"}, "latest"))
        return bytes.fromhex(str(returned)[2:])

    def encode(self, name: str, function: str, *arguments: Any) -> str:
        """Calldata as a hex string."""
        return "0x" + load_artifact(name).encode(function, *arguments).hex()

    def decode_log(self, name: str, event: str, receipt: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the one `event` in a receipt, by name."""
        (log,) = (
            self._contract(name, self.governance).events[event]().process_receipt(receipt, errors=DISCARD)
        )
        return dict(log["args"])

    async def timestamp(self) -> Seconds:
        """Time of the latest block."""
        block = await self._pool.call("eth_getBlockByNumber", ("latest", False))
        assert isinstance(block, dict)
        return Seconds(int(str(block["timestamp"]), 16))

    async def fund(self, account: Address, wei: int) -> None:
        """Set an account's balance."""
        await self._pool.call("anvil_setBalance", (account, hex(wei)))

    async def set_storage(self, account: Address, slot: str, word: str) -> None:
        """Overwrite one word of a contract's storage."""
        await self._pool.call("anvil_setStorageAt", (account, slot, word))

    async def impersonate(self, account: Address) -> None:
        """Let transactions be sent from an account whose key nobody here has."""
        await self._pool.call("anvil_impersonateAccount", (account,))

    async def mine_every_second(self) -> None:
        """From here on blocks come by the clock, as on a public chain."""
        await self._pool.call("evm_setAutomine", (False,))
        await self._pool.call("evm_setIntervalMining", (1,))

    async def mine(self) -> None:
        """One block, now."""
        await self._pool.call("evm_mine")

    async def block_number(self) -> BlockNumber:
        """Height of the latest block."""
        return BlockNumber(int(str(await self._pool.call("eth_blockNumber")), 16))

    def _contract(self, name: str, at: Address | None = None) -> Any:
        artifact = load_artifact(name)
        where = {} if at is None else {"address": ChecksumAddress(HexAddress(HexStr(at)))}
        return self._web3.eth.contract(**where, abi=artifact.abi, bytecode=artifact.bytecode)

    async def _mined(self, transaction: dict[str, Any], what: str) -> dict[str, Any]:
        transaction_hash = await self.submit(transaction)
        receipt = None
        with trio.move_on_after(MINED_SECONDS):
            while (receipt := await self.receipt(transaction_hash)) is None:
                await trio.sleep(POLL_SECONDS)
        if receipt is None:
            raise Broken(
                f"{what} was not mined within {MINED_SECONDS} s on chain {self.chain_id}: {transaction_hash}"
            )
        if receipt["status"] != "0x1":
            raise Broken(f"{what} reverted on chain {self.chain_id}: {receipt['transactionHash']}")
        return receipt


@asynccontextmanager
async def open_deployer(chain: Anvil) -> AsyncIterator[Deployer]:
    """Drive a local chain until the block is left."""
    endpoint = Endpoint(name=f"anvil-{chain.chain_id}", http=chain.http)
    async with open_pool(chain.chain_id, (endpoint,), agreement=1, timeout_seconds=RPC_SECONDS) as pool:
        yield await Deployer.connect(pool)

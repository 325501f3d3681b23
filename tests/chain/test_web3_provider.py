"""web3's API on trio, through the pool."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from eth_abi.abi import encode
from web3 import AsyncWeb3
from web3.exceptions import ContractCustomError, OffchainLookup
from web3.types import RPCEndpoint

from node.chain.web3_provider import PoolProvider, open_web3
from node.devnet.anvil import Mining, running_anvil
from tests.chain.doubles import EndpointDouble, doubles, pool_of

CONTRACT = AsyncWeb3.to_checksum_address("0x00000000000000000000000000000000DeaDBeef")
RETURNS_BLOCK_NUMBER = "0x435f5260205ff3"
SELECTOR_OF_OFFCHAIN_LOOKUP = "556f1830"  # EIP-3668
SET_CODE = RPCEndpoint("anvil_setCode")
VIEW = [
    {
        "type": "function",
        "name": "number",
        "stateMutability": "view",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint256"}],
    }
]

Web3AndEndpoint = tuple[AsyncWeb3[PoolProvider], EndpointDouble]


@pytest.fixture
async def web3_and_endpoint() -> AsyncIterator[Web3AndEndpoint]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
    ):
        await pool.call("anvil_setCode", (CONTRACT, RETURNS_BLOCK_NUMBER))
        await pool.call("evm_mine")
        yield open_web3(pool), ada


async def test_a_contract_is_bound_and_read(web3_and_endpoint: Web3AndEndpoint) -> None:
    web3, _ = web3_and_endpoint
    contract = web3.eth.contract(address=CONTRACT, abi=VIEW)
    assert await contract.functions.number().call() == 1
    assert await web3.eth.chain_id == 31337
    assert (await web3.eth.get_block(1))["number"] == 1


async def test_says_whether_anybody_answers(web3_and_endpoint: Web3AndEndpoint) -> None:
    web3, endpoint = web3_and_endpoint
    assert await web3.is_connected()
    endpoint.is_down = True
    assert not await web3.is_connected()


def code_that_reverts_with(data: bytes) -> str:
    """Code that copies what follows it and reverts with that."""
    return f"0x61{len(data):04x}80600a5f395ffd{data.hex()}"


async def test_a_revert_reaches_web3_with_its_data(web3_and_endpoint: Web3AndEndpoint) -> None:
    web3, _ = web3_and_endpoint
    await web3.provider.make_request(SET_CODE, (CONTRACT, code_that_reverts_with(b"\xaa\xbb\xcc\xdd")))
    contract = web3.eth.contract(address=CONTRACT, abi=VIEW)
    with pytest.raises(ContractCustomError, match="0xaabbccdd"):
        await contract.functions.number().call()


async def test_a_contract_cannot_make_us_fetch_an_address_of_its_choosing(
    web3_and_endpoint: Web3AndEndpoint,
) -> None:
    web3, _ = web3_and_endpoint
    lookup = encode(
        ["address", "string[]", "bytes", "bytes4", "bytes"],
        [CONTRACT, ["http://127.0.0.1:1/{data}"], b"", b"\0" * 4, b""],
    )
    code = code_that_reverts_with(bytes.fromhex(SELECTOR_OF_OFFCHAIN_LOOKUP) + lookup)
    await web3.provider.make_request(SET_CODE, (CONTRACT, code))
    contract = web3.eth.contract(address=CONTRACT, abi=VIEW)
    with pytest.raises(OffchainLookup):
        await contract.functions.number().call()

"""Reads and sends at a named block; knows no policy.

    types          the frozen values of this room: BlockRef, Log, CallReverted, Endpoint
    rpc            JSON-RPC over several endpoints, of which m must agree
    reader         reads pinned to a block by its hash
    contracts      the registry and the guardian, by their packaged ABIs
    web3_provider  lets web3's bindings read through the reader
    sender         signs, sends and follows a transaction

Importing this package imports none of them: web3 and eth-account are only paid for where they are used.
"""

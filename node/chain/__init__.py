"""Reads and sends at a named block; knows no policy.

    types          the frozen values of this room: BlockRef, Log, CallReverted, Endpoint
    rpc            several endpoints, of which m must agree: over `endpoint` (one of them, its health),
                   `agreement` (the count), `request` and `parse` (what is asked, how an answer is read)
    reader         reads pinned to a block by its hash
    abi            packaged ABIs: calldata, return values, events, errors
    contracts      the registry and the guardian, in values of consensus
    clock          where the chain stands, for whoever waits for its next block
    web3_provider  lets web3's bindings read through the reader
    sender         signs, sends and follows a transaction

Importing this package imports none of them: web3 and eth-account are only paid for where they are used.
"""

"""Runs pending transactions at a block's state, in a process of its own; knows no detectors.

    state      where the state comes from: a block by the agreed reader, or a genesis file
    server     answers the process that runs them, and nobody else
    evm        pyrevm: one transaction in, what it did out
    worker     the process: reads a task a line, writes an answer a line
    outcome    what crosses between the two
    simulator  starts the process, gives it work, ends it when it takes too long
    holdings   whose balances are told, by either simulator
    trace_call a node's `debug_traceCall` instead of the process: the tree of calls too
    fallback   the second where the first has no answer

The process is there for three reasons. pyrevm keeps Python's lock while it runs and fetches state while it
runs, so that a thread would stop the watcher that is to answer it; only a process can be ended in the middle
of a call; and only a process has a limit of memory of its own.
"""

"""What pending transactions would do, run on the newest block's state, and the alerts that follow from it.

    admission  what a block could hold: sender, nonce, funds and fee at that block
    runner     runs a transaction on any block's state, by whichever simulator answers
    eyes       what a chain is seen with: mempools, a runner, and what a block asks of a sender
    judge      a rule of kind `pending` on what came of it
    pool       the transactions that may still come, in the order in which they are run
    evidence   their bytes, for and from members whose mempool lacks them
    room       all of it: mempool in, alerts out; members' questions answered by running it ourselves

A verdict is a function of the anchor's state and the transaction's own bytes: nobody's mempool, clock or
order of arrival is in it. What a watcher remembers only decides whether it speaks first.
"""

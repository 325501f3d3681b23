"""What happened on a chain, block by block.

heads      follows the head over every gap and reorg, in order
ancestry   which block came before which, of those seen lately
view       the reads of one block
"""

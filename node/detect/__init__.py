"""Transactions in, judgements out: what a trace shows, how unusual it is here, and how hard to brake for it."""

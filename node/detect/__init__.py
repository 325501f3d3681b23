"""Transactions in, judgements out: what a trace shows, how unusual that is here, how hard to brake."""

"""Mutation testing of the contracts: does a test fail when a line of `src` is wrong?"""

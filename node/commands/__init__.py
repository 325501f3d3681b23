"""Commands of `tocsin` that need more than a few lines; `node/cli.py` lists them."""

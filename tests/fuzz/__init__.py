"""Every decoder of bytes from strangers, and what tries to break them."""

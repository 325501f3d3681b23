"""The running watcher: it looks at chains, judges, signs, and carries certificates to guardians. On trio."""

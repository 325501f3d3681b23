"""Policy and a view of one block in; findings, or an honest unknown, out. No socket, no clock."""

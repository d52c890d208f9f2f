"""Pages of the administrator: who may sign in, and who did what."""

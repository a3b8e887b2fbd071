"""The `lfkit` command: one file per sub-command."""

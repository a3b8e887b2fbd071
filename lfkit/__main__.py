"""`python -m lfkit`, and what `torchrun -m lfkit` starts in each process."""

from lfkit.cli.app import main

main()

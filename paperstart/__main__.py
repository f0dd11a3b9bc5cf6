"""``python -m paperstart`` is the command ``paperstart``."""

from paperstart.cli import main

main()

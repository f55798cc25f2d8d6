"""`python -m edgerec`."""

from __future__ import annotations

from edgerec.cli import main

main()

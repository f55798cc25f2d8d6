"""EdgeRec: train a feed's re-ranker, take it apart, and run it on the user's device."""

from __future__ import annotations

__version__ = "0.1.0"

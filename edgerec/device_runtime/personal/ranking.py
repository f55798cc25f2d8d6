"""Re-ranks with the user's patch: one product of a matrix and a vector after the ranker."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import EdgeRecError, first_line
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.finite import is_finite
from edgerec.device_runtime.ranker import Scored
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.personalization.head import PersonalHead
from edgerec.personalization.patch import Patch

_LOG = logging.getLogger(__name__)
_CHANGED = "the patch of the user is not used (%s): the shared model is"


@dataclass(frozen=True)
class PersonalScores:
    """What a re-rank reads and what it stores for the training.

    Attributes:
        scored: what the ranker returned, with the logits of the user.
        personal: whether a patch changed the logits; None if there are no patches.
        phi: (c, rank) float16, what a patch reads of each candidate; None if there are no patches.
    """

    scored: Scored
    personal: bool | None = None
    phi: NDArray[np.float16] | None = None


class PersonalRanking:
    """Ranks with the patch of one user. The caller holds the client's lock.

    Args:
        store: where the patch is.
        enabled: whether patches are used. Otherwise nothing is read and nothing is changed.

    Attributes:
        head: the head of the present model; None without patches.
        patch: the patch in use; None: the user has the shared model.
    """

    def __init__(self, store: BehaviourStore, *, enabled: bool) -> None:
        self._store, self._enabled = store, enabled
        self.head: PersonalHead | None = None
        self.patch: Patch | None = None

    def use(self, model: DeviceModel | None) -> None:
        """Use patches of this model from now on. Those of other versions are deleted: this one cannot read them."""
        self.head, self.patch = None, None
        if model is None or not self._enabled:
            return
        self.head = model.personal
        if self.head is None:
            _LOG.warning(
                "model version %s has no head for patches, so the shared model ranks: export it with --personal",
                model.version_id,
            )
        try:
            self._store.personal.keep_only(model.version_id, "" if self.head is None else self.head.head_id)
        except EdgeRecError as error:
            # The user gets the feed, also if the disk is full. What another head has left cannot be told from own rows.
            _LOG.warning("patches of an earlier model cannot be deleted, so none is used: %s", first_line(error))
            self.head = None
        self.read()

    def read(self) -> None:
        """Read the patch from the store. One that is damaged, or of another user or model, is not used."""
        self.patch = None
        if self.head is None:
            return
        try:
            state = self._store.personal.state(self.head.training.version_id)
            if state is not None and state.patch is not None:
                state.patch.check(self.head, user_id=self._store.user_id)
                self.patch = state.patch
        except EdgeRecError as error:
            _LOG.warning(_CHANGED, first_line(error))

    def rank(self, scored: Scored) -> PersonalScores:
        """Return the logits of the user, and what a later training reads.

        The logits are those of the shared model without a patch, and whatever fails with one.
        """
        try:
            return self._rank(scored)
        except Exception as error:  # A fault of the patch should not cost the re-rank.
            _LOG.warning(_CHANGED, first_line(error))
            return PersonalScores(scored, False)

    def _rank(self, scored: Scored) -> PersonalScores:
        head = self.head
        if head is None or scored.hidden is None or scored.candidates is None:
            return PersonalScores(scored)
        read = head.read(head.activations(scored.hidden, scored.candidates))
        if not is_finite(read):
            return PersonalScores(scored, False)
        phi = read.astype(np.float16)
        own = None if self.patch is None else self.patch.logits(scored.logits, read)
        if own is None or not is_finite(own):
            return PersonalScores(scored, False, phi)
        return PersonalScores(replace(scored, logits=own), True, phi)

"""One circuit for all requests of a client: a cloud that does not answer gets one request at a time, and few of them.

::

    CLOSED --- a request fails, and the cloud does not answer ---> OPEN     nothing is requested
       ^                                                            |
       |                                                            | the waiting time is over
       '--- it succeeds --- HALF OPEN: the next request is a probe <'
                                |
                                '--- it fails ---> OPEN, for twice as long

An answer closes the circuit, also one that says that the request was wrong, or that the cloud is busy. Then only
requests of this kind wait. Otherwise pages that get 503 would always take the probe, and no logs would be delivered.
"""

from __future__ import annotations

from edgerec.core.errors import AnswerError, BusyError, RefusedError, TransportError
from edgerec.device_runtime.backoff import Backoff, asked_ms


class Circuit:
    """The waiting time of all kinds of requests together.

    Args:
        first_ms: waiting time after the first request that fails.
        most_ms: the longest waiting time.
    """

    def __init__(self, first_ms: int, most_ms: int) -> None:
        self._first, self._most = first_ms, most_ms
        self._all = Backoff(first_ms, most_ms)

    def kind(self) -> RequestKind:
        """Return one more kind of request of this circuit."""
        return RequestKind(self._all, Backoff(self._first, self._most))


class RequestKind:
    """One kind of request. It waits for the circuit, and for its own back-off."""

    def __init__(self, circuit: Backoff, own: Backoff) -> None:
        self._circuit, self._own = circuit, own

    def ready(self, now: int) -> bool:
        """Return whether a request of this kind may be made at the time `now`."""
        return self._circuit.ready(now) and self._own.ready(now)

    def due(self, now: int) -> int:
        """Return the time from which a request may be made, in milliseconds since 1970."""
        return max(self._circuit.due(now), self._own.due(now))

    def succeeded(self) -> None:
        """Note that a request succeeded."""
        self._circuit.succeeded()
        self._own.succeeded()

    def answered(self) -> None:
        """Note that the cloud answered, whatever the answer was."""
        self._circuit.succeeded()

    def failed(self, now: int, error: BaseException) -> None:
        """Note that a request failed at the time `now`, and why."""
        if isinstance(error, (BusyError, AnswerError, RefusedError)):
            self._circuit.succeeded()
        elif isinstance(error, TransportError):
            self._circuit.failed(now)
            return
        self._own.failed(now, asked_ms=asked_ms(error))

    def hurry(self) -> None:
        """Let the next request be made soon, because the user asks for it: at most one in each first waiting time."""
        self._circuit.hurry()
        self._own.hurry()

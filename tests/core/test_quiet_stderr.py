from __future__ import annotations

import os

import pytest

from edgerec.core.quiet_stderr import quiet_stderr


def test_what_a_library_writes_to_descriptor_2_is_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"hidden")
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"


def test_the_messages_are_shown_after_an_error_only_if_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    @quiet_stderr(shown_after=ImportError)
    def asked() -> None:
        fail()

    @quiet_stderr()
    def not_asked() -> None:
        fail()

    def fail() -> None:
        os.write(2, b"message")
        raise ImportError

    for function, expected in ((asked, "message"), (not_asked, "")):
        with pytest.raises(ImportError):
            function()
        assert capfd.readouterr().err == expected

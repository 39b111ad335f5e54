"""What is said of actors, without any."""

from __future__ import annotations

from typing import Any

import pytest

import bireme
from bireme.actor_api import OPTIONS, MethodOptions, methods_of
from bireme.actor_spec import _mailbox, _methods
from bireme.errors import ActorError, CallUnknown, NoSuchMethod, _plain_error, exception


class Something:
    """Has methods of all kinds."""

    attribute = 1

    def plain(self) -> None: ...

    async def asynchronous(self) -> None: ...

    def items(self) -> Any:
        yield 1

    async def asynchronous_items(self) -> Any:
        yield 1

    @staticmethod
    def static() -> None: ...

    @property
    def value(self) -> int:
        raise AssertionError("nobody asked for it")

    def _private(self) -> None: ...

    @bireme.method(lane="other", delivery="at_least_once", journal="result")
    def special(self) -> None: ...


def test_methods_are_those_of_public_names() -> None:
    assert methods_of(Something) == {
        "asynchronous": False,
        "asynchronous_items": True,
        "items": True,
        "plain": False,
        "special": False,
        "static": False,
    }


def test_what_a_method_is_told_is_found() -> None:
    assert getattr(Something.special, OPTIONS) == MethodOptions("other", "at_least_once", True)
    assert _methods(Something, ["default", "other"]) == [("special", 1, "at_least_once", True)]
    with pytest.raises(ValueError, match="'other'"):
        _methods(Something, ["default"])
    with pytest.raises(ValueError, match="journal"):
        bireme.method(journal="nothing")


def test_a_mailbox_is_a_number_or_words() -> None:
    assert _mailbox(None) == (None, None, False)
    assert _mailbox(3) == (3, None, False)
    assert _mailbox({"bytes": "1 MiB", "on_full": "refuse"}) == (None, 1 << 20, True)
    for wrong in ({"sizes": 1}, {"on_full": "drop"}):
        with pytest.raises(ValueError, match="mailbox"):
            _mailbox(wrong)


def test_there_is_no_call_outside_of_actors() -> None:
    for ask in (bireme.current_call, bireme.actor_exit):
        with pytest.raises(ValueError, match="no call"):
            ask()


@pytest.mark.parametrize(
    ("code", "kind"), [("UNKNOWN", CallUnknown), ("NO_SUCH_METHOD", NoSuchMethod), ("NEW_ONE", ActorError)]
)
def test_codes_are_classes(code: str, kind: type[ActorError]) -> None:
    raised = exception(_plain_error(code, "so it is"))
    assert type(raised) is kind
    assert isinstance(raised, ActorError)
    assert raised.code == code

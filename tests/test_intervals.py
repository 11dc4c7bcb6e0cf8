"""Shares with their intervals."""

from __future__ import annotations

import pytest

from workbench.intervals import share


def test_a_share_has_wilsons_interval():
    """The interval is the published one: 8 of 10 lies between 0.49 and 0.94."""
    found = share(8, 10)
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (0.8, 0.4902, 0.9433)
    assert str(found) == "0.80 [0.49, 0.94] (8 of 10)"


def test_the_ends_stay_in_bounds():
    """None of a few is not surely none, and all of a few not surely all."""
    assert (share(0, 5).low, round(share(0, 5).high, 3)) == (0.0, 0.434)
    assert (round(share(5, 5).low, 3), share(5, 5).high) == (0.566, 1.0)


def test_nothing_counted_is_no_share():
    """Nothing counted is unknown, not 0."""
    assert share(0, 0).value is None
    assert str(share(0, 0)) == "– (0 of 0)"


@pytest.mark.parametrize(("hits", "total"), [(-1, 3), (4, 3)])
def test_an_impossible_share_is_refused(hits: int, total: int):
    """More hits than cases is a mistake of whoever counted."""
    with pytest.raises(ValueError, match="is no share"):
        share(hits, total)

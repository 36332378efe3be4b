"""The phenomena that define a storm, as the network's own output shows them: the rows of `cytostorm phenomena`."""

import pytest

from cytostorm.scripts.phenomena import PHENOMENA


@pytest.mark.parametrize("one", PHENOMENA, ids=lambda one: f"{one.group}: {one.what}")
def test_the_network_shows_it(one):
    obtained = one.measure()
    assert one.low <= obtained <= one.high, f"{obtained:.4g} {one.unit}, expected {one.expected} ({one.source})"

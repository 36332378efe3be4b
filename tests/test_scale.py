"""The simulated cluster of the scale plan: jobs that are killed or out of time all finish, and little is done twice."""

from dataclasses import replace

import numpy as np
import pytest
from cluster import NOTICE_S, Work, asked, simulated
from scale import words

from cytostorm.inference.samplers.draws import sizes

LONG = Work(5 * 3600.0, 1.5, "nuts_population", 20.0)  # longer than a stay on a node


def largest_block(one, sampler="nuts_population"):
    _, block, parts = asked(sampler)
    return one.length * max(size for number in parts for size in sizes(number, block)) / sum(parts)


def test_all_jobs_finish_and_every_stay_costs_a_block_at_most(tmp_path):
    found = simulated(LONG, tmp_path, 60)
    assert found.done == 60
    assert found.commands > 1  # some were killed
    for one in found.jobs:
        assert one.worked >= one.length
        assert one.worked - one.length <= (one.stays - 1) * largest_block(one) * (1 + 1e-9)
        assert one.stays >= one.length / (2 * 3600 - NOTICE_S - LONG.start_s)
    again = simulated(LONG, tmp_path / "again", 60)
    assert [one.worked for one in again.jobs] == [one.worked for one in found.jobs]


def test_without_resuming_a_job_longer_than_the_limit_never_ends(tmp_path):
    found = simulated(replace(LONG, resumes=False, killed=0.0), tmp_path / "a", 10)
    assert found.done == sum(one.length + LONG.start_s <= 2 * 3600 - NOTICE_S for one in found.jobs) < 10
    whole = simulated(replace(LONG, resumes=False, limit="2-0:00"), tmp_path / "b", 60)
    assert whole.done == 60
    assert whole.repeated > 0.01


def test_without_failures_nothing_is_repeated(tmp_path):
    found = simulated(replace(LONG, median_s=600.0, killed=0.0), tmp_path, 20)
    assert (found.done, found.commands, {one.stays for one in found.jobs}) == (20, 1, {1})
    assert found.repeated == pytest.approx(0)
    # 64 at once: all begin together, and the longest ends last
    assert found.hours * 3600 == pytest.approx(max(one.length for one in found.jobs) + LONG.start_s)


def test_jobs_are_killed_as_often_as_was_asked(tmp_path):
    found = simulated(replace(LONG, median_s=600.0, fold=1.0001), tmp_path, 400)
    killed = sum(one.stays - 1 for one in found.jobs)
    assert abs(killed - 400 / 9) < 4 * np.sqrt(400 / 9)  # of every stay a tenth ends so


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.68, "4.7 s"), (59.0, "59 s"), (950.0, "16 min"), (36000.0, "10 h"), (9.1e5, "11 days"), (4.7e9, "150 years")],
)
def test_times_are_told_to_two_digits(seconds, text):
    assert words(seconds) == text

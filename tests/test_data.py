"""`cytostorm data`: verbs, exit codes and messages."""

import pytest

from cytostorm.scripts.cli import run
from cytostorm.scripts.data import VERBS


def test_help_lists_data_and_data_lists_its_verbs(capsys):
    assert run(["--help"]) == 0
    assert "  data " in capsys.readouterr().out
    assert run(["data"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in VERBS)


REFUSED = {
    "verb": (["lits"], "no verb `lits` of data; verbs: list, show, fetch"),
    "no name": (["show"], "`cytostorm data show` takes NAME; came: none"),
    "two names": (["fetch", "a", "b"], "`cytostorm data fetch` takes NAME; came: 2 (a b)"),
    "a name of list": (["list", "a"], "`cytostorm data list` takes no arguments; came: 1 (a)"),
    "name": (["show", "nothing"], "no data set `nothing`; known: "),
}


@pytest.mark.parametrize(("argv", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_arguments_exit_with_2_and_say_what_exists(argv, message, capsys):
    assert run(["data", *argv]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err

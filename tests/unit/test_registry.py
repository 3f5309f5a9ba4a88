"""Cards of installed packages: found by their entry points, and told where one is broken."""

from __future__ import annotations

import sys

import pytest

from speechlasso.errors import InputError
from speechlasso.registry import Card, Registry

GROUP = "speechlasso.things"
METADATA = "Metadata-Version: 2.1\nName: outside-things\nVersion: 1.0\n"
OWN = Card(name="own", implementation="speechlasso.registry")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package of one module, whose source is given, with one entry point."""

    def install(source, target="outside_things:CARD"):
        (tmp_path / "outside_things.py").write_text(source)
        info = tmp_path / "outside_things-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: outside-things\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[{GROUP}]\nouter = {target}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "outside_things", raising=False)
        return Registry(Card, GROUP, [OWN])

    return install


def test_a_card_of_a_package_stands_beside_the_own_ones(installed):
    things = installed(
        "from speechlasso.registry import Card\n"
        "CARD = Card(name='outer', implementation=__name__)\n"
    )
    assert list(things) == ["own", "outer"]
    assert things["outer"].load().CARD is things["outer"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("CARD = 3", "it is no Card"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_entry_point_is_named_each_time(installed, source, problem):
    things = installed(source)
    for _ in range(2):
        with pytest.raises(InputError, match=f"outer .* of outside-things .*{problem}"):
            things["own"]

"""Copies of runs for others contain no path of this machine, and stay what they were."""

import pytest

from segbench.artifacts.public_copy import (
    is_same,
    public_command,
    public_config,
    public_text,
    public_values,
)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("ckpt=/home/me/runs/x/best.ckpt", "ckpt=PATH"),
        ("lists.train /home/me/a.txt; lists.val ~/b.txt.", "lists.train PATH; lists.val PATH."),
        ("weights='/home/me/a b.ckpt'", "weights='PATH'"),
        ("{train:/home/me/t.txt,val:../v.txt}", "{train:PATH,val:PATH}"),
        ("[file:///home/me/conf,sqlite:////home/me/m.db]", "[PATH,PATH]"),
        (r"root=C:\Users\me\data", "root=PATH"),
        ("7.5 images/s, 3 / 4 of train/val, https://github.com/a/b, IoU (%)/x", None),
        ("runs/mine/custom-streets/seed0", None),
        ("left out: /home/john doe/secret/x.ckpt, 3 images", "left out: PATH, 3 images"),
        (r"C:\Users\John Doe\x and the rest", "PATH and the rest"),
        ("x /home/jane (work)/y, /home/a-b(1)/c d", "x PATH, PATH d"),
        ("[/mnt/a,b/c]", "[PATH]"),
        (r"from \\server\share\x or //server/share/y", "from PATH or PATH"),
        ("a model <i>x</i> of s3://bucket/x", None),
    ],
)
def test_paths_in_a_text_are_replaced_and_nothing_else(text, public):
    assert public_text(text) == (public or text)
    assert public_values({"a": [text, 1, None]}) == {"a": [public or text, 1, None]}


@pytest.mark.parametrize(
    ("command", "public"),
    [
        ("python -m x data.root=mine 'weights=/a b/c.ckpt' seed=1",
         "python -m x data.root=PATH weights=PATH seed=1"),
        ("python -m x data.group_regex='/(.*)_' ckpt=~/x.ckpt",
         "python -m x 'data.group_regex=/(.*)_' ckpt=PATH"),
        ("python -m x 'open /home/me", "python -m x 'open PATH"),
        ("python -m x ++data.root=clients/acme root=clients/acme",
         "python -m x ++data.root=PATH root=PATH"),
    ],
)  # fmt: skip
def test_commands_stay_commands(command, public):
    assert public_command(command) == public


def test_files_of_one_name_stay_two_files_and_go_on_elsewhere():
    here = public_config({"root": "/home/me/camvid", "weights": "/a/best.ckpt", "seed": 3})
    there = public_config({"root": "/home/me/camvid", "weights": "/b/best.ckpt", "seed": 3})
    assert here["root"] == "data/camvid"
    assert here["weights"] != there["weights"]
    assert is_same("/other/place/best.ckpt", here["weights"])
    assert not is_same("/other/place/last.ckpt", here["weights"])
    assert not is_same(None, here["weights"])
    assert public_config({"group_regex": "/(.*)_"}) == {"group_regex": "/(.*)_"}
    assert public_config({"root": "clients/acme", "note": "see /home/me/x"}) == {
        "root": "data/acme",
        "note": "see PATH",
    }
    assert is_same("runs/best.ckpt", "runs/best.ckpt")
    assert not is_same("/a/best.ckpt", "/b/best.ckpt")

"""Every source is a room that a README shows: its name, as `code`, stands in the README of its folder or of one above.
Tests and fuzzers say by their names what they are: of them it is the folder that has to be shown.
"""

import fnmatch
import functools
import pathlib
import re

import tree

SOURCES = {".hpp", ".cpp", ".ipp", ".py"}
TESTS = ("test_*.py", "*_test.cpp", "*_fuzzer.cpp")


@functools.cache
def shown(folder: pathlib.Path) -> list[str]:
    """The names that the folder's README shows, without path and ending; `*` in them stands for any letters."""
    readme = tree.root() / folder / "README.md"
    spans = re.findall(r"`([^`\s]+)`", readme.read_text()) if readme.exists() else []
    names = [pathlib.PurePath(span) for span in spans]
    return [name.stem if name.suffix in SOURCES else name.name for name in names if name.stem != "*"]


problems = []
files = tree.files(*(f"*{suffix}" for suffix in SOURCES))
for path in files:
    room = path.parent if any(fnmatch.fnmatch(path.name, test) for test in TESTS) else path
    if not any(fnmatch.fnmatch(room.stem, name) for folder in room.parents for name in shown(folder)):
        problems.append(f"{path}: no README shows `{room.stem}`; {path.parent}/README.md or one above is to say what it is")
tree.finish(problems, len(files))

"""clang-tidy over the product and the tools beside it, with the tree's .clang-tidy: what it finds is a failure.

Nearly all of its time goes into system headers, so the sources of a folder are looked at as one translation unit, in
which those come once. Sources whose private names would collide there go into another.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import tree

ROOT = tree.root().resolve()
FOLDERS = ("flowtable", "ports", "datapath", "control", "perf")


def flags(command):
    """Of a line of compile_commands.json: what is to be defined, included and switched on."""
    words = shlex.split(command)
    kept = [w for w in words if re.match(r"-[DIUfmW]|-std=", w) and w != "-Wno-restrict"]  # GCC's alone
    for name in ("-isystem", "-include"):
        kept += [part for i, word in enumerate(words) if word == name for part in (name, words[i + 1])]
    return kept


def groups():
    """Sources that are compiled alike and lie in one folder."""
    commands = {pathlib.Path(entry["file"]): entry["command"]
                for entry in json.loads((pathlib.Path(sys.argv[3]) / "compile_commands.json").read_text())}
    of_folder = {file.parent: command for file, command in commands.items()}
    found = {}
    for source in tree.files("*.cpp"):
        if source.parts[0] in FOLDERS:  # what is compiled as one with its neighbours is compiled as they are
            command = commands.get(ROOT / source) or of_folder[ROOT / source.parent]
            found.setdefault((source.parent, tuple(flags(command))), []).append(source)
    return [(sources, list(options)) for (_, options), sources in found.items()]


def as_one(directory, sources):
    unit = pathlib.Path(tempfile.mkdtemp(dir=directory)) / "unit.cpp"
    unit.write_text("".join(f'#include "{ROOT / source}"\n' for source in sources))
    return unit


def parted(directory, sources, options):
    """Those that can be compiled together, and those that collide with them."""
    if len(sources) == 1:
        return sources, []
    run = subprocess.run(["clang++", "-fsyntax-only", "-w", "-ferror-limit=0", *options, as_one(directory, sources)],
                         cwd=ROOT, capture_output=True, text=True)
    errors = "\n".join(re.findall(r"^.* error: ", run.stderr, re.MULTILINE))
    together = [source for source in sources if f"{ROOT / source}:" not in errors] or sources[:1]
    return together, [source for source in sources if source not in together]


def units(directory, pool):
    """All sources, in as few lists as can be compiled together; what collides in its folder goes with others' such."""
    left = groups()
    while left:
        apart = {}
        for (_, options), (together, others) in zip(left, pool.map(lambda group: parted(directory, *group), left)):
            yield together, options
            apart.setdefault(tuple(options), []).extend(others)
        left = [(sources, list(options)) for options, sources in apart.items() if sources]


def problems_of(directory, sources, options):
    run = subprocess.run(["clang-tidy", "--quiet", f"--config-file={ROOT / '.clang-tidy'}",
                          "--checks=-bugprone-suspicious-include", as_one(directory, sources), "--", *options],
                         cwd=ROOT, capture_output=True, text=True)
    if len(sources) > 1 and "[clang-diagnostic-error]" in run.stdout:  # a collision hid another
        return [problem for source in sources for problem in problems_of(directory, [source], options)]
    return [] if run.returncode == 0 else [run.stdout or run.stderr]


with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    found = sorted(units(directory, pool), key=lambda unit: -len(unit[0]))  # the longest first, so that the last do not run alone
    problems = [p for some in pool.map(lambda unit: problems_of(directory, *unit), found) for p in some]
    tree.finish(problems, sum(len(sources) for sources, _ in found))

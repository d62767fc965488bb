"""The top level holds what it is meant to hold, and files stay rooms: none grows without bound."""

import tree

TOP_LEVEL = {"CMakeLists.txt", "CMakePresets.json", "datapath", "control", "flowtable", "ports", "tests", "perf", "config",
             "README.md", "Makefile", "LICENSE"}
MOST_LINES = 500
NO_ROOMS = {"util", "utils", "common", "misc", "helper", "helpers"}

files = tree.files()
problems = []
for name in sorted({path.parts[0] for path in files}):
    if name not in TOP_LEVEL and not name.startswith("."):
        problems.append(f"{name}: the top level holds {', '.join(sorted(TOP_LEVEL))} and dotfiles")
for path in files:
    if path.suffix in (".hpp", ".cpp", ".py"):
        lines = len((tree.root() / path).read_text().splitlines())
        if lines > MOST_LINES:
            problems.append(f"{path}: {lines} lines; a file is one room of at most {MOST_LINES}")
    if NO_ROOMS & {path.stem, *path.parts[:-1]}:
        problems.append(f"{path}: '{path.stem}' says nothing of what is in it")
tree.finish(problems, len(files))

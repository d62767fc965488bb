"""A folder includes only from folders it may know: nobody knows control, and flowtable and ports know nobody."""

import re

import tree

MAY_KNOW = {
    "flowtable": set(),
    "ports": set(),
    "datapath": {"flowtable", "ports"},
    "control": {"flowtable", "ports", "datapath"},
}
# Libraries that belong to one folder: YAML, JSON and logging are control's.
CONTROL_ONLY = ("yaml-cpp/", "nlohmann/", "spdlog/", "fmt/", "CLI/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def problems_of(path, lines):
    folder = path.parts[0]
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(1)
        target = name.split("/")[0]
        if "/../" in f"/{name}":
            yield f"{path}:{number}: '{name}' climbs out of its folder; include paths start at the top of the tree"
        elif target in MAY_KNOW and target != folder and target not in MAY_KNOW[folder]:
            allowed = ", ".join(sorted(MAY_KNOW[folder])) or "nobody"
            yield f"{path}:{number}: {folder} includes '{name}', but {folder} knows {allowed}"
        elif target in ("tests", "perf"):
            yield f"{path}:{number}: the product includes '{name}' of {target}"
        elif folder != "control" and name.startswith(CONTROL_ONLY):
            yield f"{path}:{number}: '{name}' is a library for control alone"


sources = tree.files(*(f"{folder}/*.{end}" for folder in MAY_KNOW for end in ("hpp", "cpp")))
tree.finish([p for s in sources for p in problems_of(s, (tree.root() / s).read_text().splitlines())], len(sources))

"""Every header compiles on its own, with the warnings of the build.

A source that includes a header before all else shows that of it whenever it is built, so what is left to try here are the
headers that no source of the build begins with.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

import tree

DPDK = subprocess.run(["pkg-config", "--cflags-only-I", "libdpdk"], check=True, capture_output=True, text=True).stdout
FLAGS = ["-std=c++20", "-fsyntax-only", "-march=x86-64-v2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-I", ".",
         *DPDK.replace("-I", "-isystem ").split(), "-include", "rte_config.h", "-x", "c++", "-"]


def directives(file):
    """As they stand in the file, without their comments."""
    return [re.sub(r"\s*//.*", "", line).strip() for line in (tree.root() / file).read_text().splitlines() if line.startswith("#")]


def headers_that_sources_begin_with():
    root = tree.root().resolve()
    built = {pathlib.Path(entry["file"]) for entry in json.loads((pathlib.Path(sys.argv[3]) / "compile_commands.json").read_text())}
    first = [directives(source)[:1] for source in tree.files("*.cpp") if root / source in built]
    return {found.group(1) for line in first if (found := re.fullmatch(r'#include "(.+)"', "".join(line)))}


def problem_of(header, shown):
    if directives(header)[:1] != ["#pragma once"]:
        return f"{header} does not begin with #pragma once"
    if shown:
        return None
    run = subprocess.run([sys.argv[2], *FLAGS], cwd=tree.root(), input=f'#include "{header}"\n', capture_output=True, text=True)
    return None if run.returncode == 0 else f"{header} does not compile alone:\n{run.stderr}"


headers = [h for h in tree.files("*.hpp") if h.parts[0] in ("flowtable", "ports", "datapath", "control")]
first = headers_that_sources_begin_with()
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    problems = pool.map(lambda header: problem_of(header, str(header) in first), headers)
    tree.finish([problem for problem in problems if problem], len(headers))

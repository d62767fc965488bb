"""Every C++ file is as clang-format leaves it."""

import subprocess

import tree

sources = tree.files("*.hpp", "*.cpp")
run = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources], cwd=tree.root(), capture_output=True, text=True)
wrong = sorted({line.split(":")[0] for line in run.stderr.splitlines() if ": error:" in line})
problems = [f"{name} is not formatted; `make format` does it" for name in wrong]
if run.returncode != 0 and not problems:
    problems.append(run.stderr)
tree.finish(problems, len(sources))

"""Every header compiles on its own, with the warnings of the build."""

import concurrent.futures
import os
import subprocess
import sys

import tree

DPDK = subprocess.run(["pkg-config", "--cflags-only-I", "libdpdk"], check=True, capture_output=True, text=True).stdout
FLAGS = ["-std=c++20", "-fsyntax-only", "-march=x86-64-v2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-I", ".",
         *DPDK.replace("-I", "-isystem ").split(), "-include", "rte_config.h", "-x", "c++", "-"]


def compile_alone(header):
    # Included twice, from outside: a header that lacks its guard fails as well.
    source = f'#include "{header}"\n#include "{header}"\n'
    run = subprocess.run([sys.argv[2], *FLAGS], cwd=tree.root(), input=source, capture_output=True, text=True)
    return None if run.returncode == 0 else f"{header} does not compile alone:\n{run.stderr}"


headers = [h for h in tree.files("*.hpp") if h.parts[0] in ("flowtable", "ports", "datapath", "control")]
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    tree.finish([problem for problem in pool.map(compile_alone, headers) if problem], len(headers))

"""Instructions a packet of the whole way through a PMD, counted by callgrind, compared with perf/instructions.txt.

    check_instructions.py PROGRAM                  fails if a case differs by more than 5 percent
    check_instructions.py PROGRAM --accept         writes what it has counted
    check_instructions.py PROGRAM --functions CASE where the instructions of a case are

PROGRAM is pipeline_instructions. Under valgrind every CPU with AVX2 looks alike, to us and to the C library, so that a
build by the same compiler counts the same on all of them; on others there is nothing to compare, which fails too.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

FILE = pathlib.Path(__file__).resolve().parents[1] / "instructions.txt"
MOST = 0.05
INSTRUCTION_SET = "avx2 aes"

HEAD = f"""\
# Instructions a packet, from one guest's ring to another's, by case; counted by callgrind ({INSTRUCTION_SET}).
# A change of more than {MOST:.0%} fails check.instructions. To accept what is counted now: make accept-instructions
"""

Counts = dict[str, dict[str, float]]  # of a packet, by case and function


def count(program: str) -> Counts:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={folder}/out", program],
                              capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{program} under callgrind ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        found = re.search(r"^instructions (.*)$", done.stdout, re.M)[1]
        if found != INSTRUCTION_SET:
            sys.exit(f"{program} under valgrind runs with '{found}', and perf/instructions.txt was counted with '{INSTRUCTION_SET}': nothing "
                     "can be compared here. Right is a CPU with AVX2 and AES, and a valgrind that lets programs see both")
        dumps = {}
        names: dict[str, str] = {}  # of functions: callgrind says each once, in the first dump that has it
        for path in sorted(pathlib.Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:])):
            text = path.read_text()
            dumps[re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.M)[1]] = functions(text, names)
    cases = re.findall(r"^case (\S+) (\d+)$", done.stdout, re.M)
    empty = [name for name, _ in cases if not dumps.get(name)]
    if empty or not cases:
        sys.exit(f"callgrind has counted nothing for {', '.join(empty) or 'any case'}:\n{done.stdout}{done.stderr}")
    return {name: {function: cost / int(packets) for function, cost in dumps[name].items()} for name, packets in cases}


def functions(dump: str, names: dict[str, str]) -> dict[str, int]:
    """Instructions of each function itself: callgrind's format without its calls."""
    costs: dict[str, int] = {}
    current = None
    after_calls = False
    for line in dump.splitlines():
        if match := re.match(r"(c?)fn=\((\d+)\)(?: (.*))?$", line):
            if match[3]:
                names[match[2]] = match[3]
            if not match[1]:
                current = names[match[2]]
        elif line.startswith("calls="):
            after_calls = True
        elif re.match(r"[\d+*-]", line):
            if not after_calls:
                costs[current] = costs.get(current, 0) + int(line.split()[-1])
            after_calls = False
    return costs


def accepted() -> dict[str, float]:
    if not FILE.exists():
        return {}
    lines = [line.split() for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def show(case: dict[str, float]) -> None:
    for function, instructions in sorted(case.items(), key=lambda item: -item[1]):
        if instructions >= 0.05:
            print(f"{instructions:7.1f}  {re.sub(r'sluice::|[(]anonymous namespace[)]::', '', function)[:120]}")
    print(f"{sum(case.values()):7.1f}  in all")


def compare(counted: dict[str, float]) -> None:
    before = accepted()
    problems = 0
    for name in [*counted, *(name for name in before if name not in counted)]:
        now, then = counted.get(name), before.get(name)
        change = now / then - 1 if now and then else None
        wrong = change is None or abs(change) > MOST
        problems += wrong
        print(f"{name:20} accepted {then or 0:7.1f}, counted {now or 0:7.1f}{'' if change is None else f', {change:+.1%}'}{' <--' if wrong else ''}")
    if problems:
        sys.exit(f"\nInstructions a packet have changed by more than {MOST:.0%}. If they grew, find out why; where they are is said by\n"
                 f"    {sys.argv[0]} {sys.argv[1]} --functions CASE\n"
                 f"If it is meant to be so (or if there are fewer: well done): make accept-instructions, and commit perf/{FILE.name}.")


def main() -> None:
    counts = count(sys.argv[1])
    sums = {name: sum(case.values()) for name, case in counts.items()}
    match sys.argv[2:]:
        case []:
            compare(sums)
        case ["--accept"]:
            FILE.write_text(HEAD + "".join(f"{name:20} {value:6.1f}\n" for name, value in sums.items()))
            print(FILE.read_text())
        case ["--functions", name] if name in counts:
            show(counts[name])
        case _:
            sys.exit(f"{__doc__}\nCASE is one of {', '.join(counts)}.")


main()

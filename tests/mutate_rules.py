#!/usr/bin/env python3
"""Seeds faults into the text of real rules, one at a time, and expects the tests to fail.

usage: mutate_rules.py BUILD [NUMBER ...]

BUILD is a Ninja build directory whose gradus_tests is up to date. Each fault is compiled from a copy
of its file and linked in front of the library: neither the sources nor the build directory change.
(tests/checker_test.cpp seeds faults into every row of the table; these here are in the code itself.)
"""
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILTER = "Table.*:Gradients.*:SecondOrder.*:Definitions.*:Edges.*"

# file, text, fault; the unit to compile where the file is a header.
FAULTS = [
    ("autograd/matmul.cpp", "sum_to(matmul(g, transposed(*b)), shape)",
     "sum_to(matmul(g, transposed(*b)), shape) * 1.000001"),
    ("autograd/matmul.cpp", "sum_to(matmul(g, transposed(*b)), shape)",
     "-sum_to(matmul(g, transposed(*b)), shape)"),
    ("autograd/matmul.cpp", "sum_to(matmul(transposed(*a), g), shape)",
     "sum_to(matmul(transposed(*a), g), shape) * 0.0"),
    ("autograd/matmul.cpp", "return matmul(g, *w);", "return neg(matmul(g, *w));"),
    ("autograd/matmul.cpp", "return matmul(g.t(), *flat);", "return matmul(g.t(), *flat) * 1.000001;"),
    ("autograd/matmul.cpp", "return sum(g, 0);", "return slice(g, 0, 0, 1).squeeze(0);"),
    ("autograd/reduce.cpp", "return expand(reshape(g, p.kept_ones), shape);",
     "return -expand(reshape(g, p.kept_ones), shape);"),
    ("autograd/reduce.cpp", "reshape(g * scale, p.kept_ones)", "reshape(g, p.kept_ones)"),
    ("autograd/reduce.cpp", "reshape(g * (2.0 / n), p.kept_ones)",
     "reshape(g * (1.0 / n), p.kept_ones)"),
    ("autograd/reduce.cpp", "*x - mean(*x, axes, true);", "*x - mean(*x, axes, true).detach();"),
    ("autograd/reduce.cpp", "hit / sum(hit, Axes(axes), true)", "hit * 1.0"),
    ("autograd/reduce.cpp", "exp(*x - safe)", "exp(*x - safe.detach())"),
    ("autograd/reduce.cpp", "permute(others, inverse) * ", "permute(others, inverse) * 1.000001 * "),
    ("autograd/reduce.cpp", "flip(cumsum(flip(g, a), a), a)", "cumsum(g, a)"),
    ("autograd/softmax.cpp", "y * (g - sum(g * y, -1, true))", "y * g"),
    ("autograd/softmax.cpp", "g - exp(y) * sum(g, -1, true)", "g + exp(y) * sum(g, -1, true)"),
    ("autograd/softmax.cpp", "(softmax(*x, 1) - one_hot(", "(softmax(*x, 1) + one_hot("),
    ("kernels/softmax.cpp", "(load_first<L>(gr + i, m, g_end) - dot)",
     "load_first<L>(gr + i, m, g_end)"),
    ("kernels/softmax.cpp", "- p * sum", "+ p * sum"),
    ("kernels/softmax.cpp", "- 1.0) * scale", "- 1.000001) * scale"),
    ("autograd/index.cpp", "return scatter_add(zeros(shape, g.dtype(), g.device()), a, *ids, g);",
     "return zeros(shape, g.dtype(), g.device());"),
    ("autograd/index.cpp", "wrt(x, [](const Tensor& g) { return g; })",
     "wrt(x, [](const Tensor& g) { return neg(g); })"),
    ("autograd/index.cpp", "return gather(g, a, *ids);", "return gather(g, a, *ids) * 1.000001;"),
    ("autograd/index.cpp", "return index_add(g, *ids, a, shape, here);",
     "return neg(index_add(g, *ids, a, shape, here));"),
    ("autograd/shape.cpp", "return permute(g, inverse);", "return permute(g, inverse) * 1.000001;"),
    ("autograd/shape.cpp", "return sum_to(g, before);",
     "return sum_to(g, before) * __builtin_nan(\"\");"),
    ("autograd/shape.cpp", "                  return part;", "return part * 1.000001;"),
    ("autograd/shape.cpp", "out[i] = slice(g, a, starts[i], starts[i + 1]);",
     "out[i] = neg(slice(g, a, starts[i], starts[i + 1]));"),
    ("kernels/formula.h", "a.d / (a.v + 1.0)", "a.d / (a.v + 1.000001)",
     "autograd/transcendental.cpp"),
    ("kernels/formula.h", "Dual{sin(a.v), cos(a.v) * a.d}", "Dual{sin(a.v), -(cos(a.v) * a.d)}",
     "autograd/transcendental.cpp"),
    ("kernels/formula.h", "(1.0 - y) * (1.0 + y))", "(1.0 - y) * (1.0 + 2.0 * y))",
     "autograd/transcendental.cpp"),
]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def compile_command(build, unit):
    for entry in json.loads(
            run(["ninja", "-t", "compdb"], cwd=build, check=True).stdout):
        if entry["file"] == str(ROOT / unit) and "gradus_objects" in entry["output"]:
            return shlex.split(entry["command"])
    sys.exit(f"mutate_rules: {unit} is no part of the build in {build}")


def link_command(build):
    lines = run(["ninja", "-t", "commands", "gradus_tests"], cwd=build, check=True).stdout
    command = shlex.split(lines.strip().splitlines()[-1])
    return command[command.index("&&") + 1:-2] if "&&" in command else command


def replace_option(command, option, value):
    command[command.index(option) + 1] = value


def test_program(build, folder, fault):
    """Builds the tests with one fault; returns the program."""
    path, text, replacement, *unit = fault
    source = (ROOT / path).read_text()
    if source.count(text) < 1:
        sys.exit(f"mutate_rules: {path} no longer holds: {text}")
    unit = unit[0] if unit else path
    mutant = folder / "gradus" / path
    mutant.parent.mkdir(parents=True, exist_ok=True)
    mutant.write_text(source.replace(text, replacement, 1))
    compiler = compile_command(build, unit)
    for option in ("-MF", "-MT"):
        if option in compiler:
            replace_option(compiler, option, str(folder / "unused"))
    thing = folder / "mutant.o"
    replace_option(compiler, "-o", str(thing))
    if unit == path:
        replace_option(compiler, "-c", str(mutant))
    compiler[compiler.index("-c"):compiler.index("-c")] = []
    at = next(i for i, word in enumerate(compiler) if word.startswith("-I"))
    compiler.insert(at, f"-I{folder}")
    built = run(compiler, cwd=build)
    if built.returncode:
        sys.exit(f"mutate_rules: the fault in {path} does not compile:\n{built.stderr}")
    program = folder / "tests"
    linker = link_command(build)
    replace_option(linker, "-o", str(program))
    library = next(i for i, word in enumerate(linker) if word.endswith("libgradus_internal.a"))
    linker.insert(library, str(thing))
    linked = run(linker, cwd=build)
    if linked.returncode:
        sys.exit(f"mutate_rules: does not link:\n{linked.stderr}")
    return program


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    chosen = [int(word) for word in sys.argv[2:]] or range(len(FAULTS))
    environment = dict(os.environ, GTEST_BRIEF="1", GTEST_FAIL_FAST="1", GTEST_FILTER=FILTER)
    program = build / "gradus_tests"
    if run([str(program)], env=environment).returncode:
        sys.exit("mutate_rules: the tests fail before any fault was seeded")
    missed = 0
    for number in chosen:
        with tempfile.TemporaryDirectory() as folder:
            program = test_program(build, pathlib.Path(folder), FAULTS[number])
            result = run([str(program)], env=environment)
        caught = result.returncode != 0
        missed += not caught
        print(f"{number:3} {'caught' if caught else 'MISSED'}  {FAULTS[number][0]}: "
              f"{FAULTS[number][2]}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} seeded faults caught")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

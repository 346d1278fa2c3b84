#!/usr/bin/env python3
"""Deletes one barrier, wait, commit or shuffle of the CUDA sources at a time and sees who notices.

    tests/mutate_cuda.py --build BUILD [--filter FILTER] [--only TEXT] [file...]

BUILD: a configured build folder of this source tree. For each mutant only its objects are compiled,
from a copy of the sources, for gradus_tests and for gradus_race_tests, and the tests on the emulated
device run under three schedules. A mutant is noticed when a test fails, crashes or hangs. Ends with
1 when one is missed by every build. The sources are never touched.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What may be deleted, and what takes its place.
SITES = [
    (re.compile(r"\b__syncthreads\(\);"), ";"),
    (re.compile(r"\b__syncwarp\([^;]*\);"), ";"),
    (re.compile(r"\b__threadfence\(\);"), ";"),
    (re.compile(r"\bcp_async_wait<\w+>\(\);"), ";"),
    (re.compile(r"\bcp_async_commit\(\);"), ";"),
    (re.compile(r"\b__shfl(?:_\w+)?_sync\(\s*\w+,\s*([^,()]+),\s*[^()]+\)"), r"\1"),
    (re.compile(r"\b__syncthreads_(?:or|and|count)\(([^()]+)\)"), r"(\1)"),
]


def sites(path):
    """(begin, end, replacement, line, text) of each thing to delete, comments excepted."""
    text = path.read_text()
    for pattern, replacement in SITES:
        for match in pattern.finditer(text):
            begin = text.rfind("\n", 0, match.start()) + 1
            before = text[begin : match.start()]
            # The definition of a helper of that name is no use of it.
            if "//" in before or before.lstrip().startswith(("#define", "GRADUS_DEVICE", "inline")):
                continue
            line = text.count("\n", 0, match.start()) + 1
            yield match.start(), match.end(), match.expand(replacement), line, match.group(0)


class Build:
    """A test program: how its emulated objects are compiled, and how it is linked."""

    def __init__(self, folder, scratch, program):
        self.folder = pathlib.Path(folder).resolve()
        self.scratch = scratch
        self.ninja(program)
        suffix = "_race" if program == "gradus_race_tests" else ""
        libraries = (f"/gradus_emulated{suffix}.dir/", f"/gradus_emulated_tests{suffix}.dir/")
        self.compile = {}  # wrapper -> command
        for entry in json.loads(self.ninja("-t", "compdb")):
            if entry["file"].endswith(".cu.cpp") and any(l in entry["output"] for l in libraries):
                self.compile[entry["file"]] = self.without_dependencies(shlex.split(entry["command"]))
        self.sources = {wrapper: self.depends(wrapper) for wrapper in self.compile}
        commands = self.ninja("-t", "commands", "-s", program)
        self.link = shlex.split(commands.strip().splitlines()[-1])

    def ninja(self, *arguments):
        done = subprocess.run(["ninja", "-C", self.folder, "--quiet", *arguments],
                              stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(done.stdout)
        return done.stdout

    @staticmethod
    def without_dependencies(command):
        """The command that writes no dependency file."""
        for option, arguments in (("-MD", 0), ("-MT", 1), ("-MF", 1)):
            while option in command:
                at = command.index(option)
                del command[at : at + 1 + arguments]
        return command

    def depends(self, wrapper):
        """The sources of the tree that a wrapper's object is made of."""
        command = [a for a in self.compile[wrapper] if a != "-c"]
        command = command[: command.index("-o")] + ["-MM", wrapper]
        out = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, text=True,
                             check=True).stdout
        return {os.path.realpath(os.path.join(self.folder, p)) for p in
                out.replace("\\\n", " ").split(":", 1)[1].split()}

    def make(self, mutant=None):
        """The tests with the objects that the mutated file is part of; None: does not compile."""
        objects = []
        for number, wrapper in enumerate(self.compile):
            if str(mutant) not in self.sources[wrapper]:
                continue
            made = str(self.scratch / f"{number}.o")
            command = [made if a.endswith(".cpp.o") else a for a in self.compile[wrapper]]
            # The copy of the tree goes before the tree.
            first = next(i for i, a in enumerate(command) if a.startswith("-I"))
            command.insert(first, f"-I{self.scratch}/include")
            if subprocess.run(command, cwd=self.folder, capture_output=True).returncode:
                return None
            objects.append(made)
        program = str(self.scratch / "tests")
        at = self.link.index("-o")
        # Linked first, they win over the archives' members of the same names.
        command = [*self.link[:at], *objects, "-Wl,--allow-multiple-definition", "-o", program,
                   *self.link[at + 2 :]]
        shell = " ".join(a if a in ("&&", ":") else shlex.quote(a) for a in command)
        linked = subprocess.run(shell, shell=True, cwd=self.folder, capture_output=True,
                                text=True)
        if linked.returncode:
            raise SystemExit(linked.stderr)
        return program


def verdict(program, tests, seconds):
    """What the tests say under the three schedules: the first failure, or nothing."""
    for schedule in ("forward", "reverse", "random:1"):
        environment = dict(os.environ, GRADUS_EMULATOR_SCHEDULE=schedule)
        try:
            done = subprocess.run([program, f"--gtest_filter={tests}", "--gtest_fail_fast"],
                                  capture_output=True, text=True, timeout=seconds, env=environment)
        except subprocess.TimeoutExpired:
            return f"{schedule}: hangs"
        if done.returncode < 0:
            return f"{schedule}: signal {-done.returncode}"
        if done.returncode:
            output = done.stdout + done.stderr
            found = (re.search(r"kernel \w+, (.*)", output)
                     or re.search(r"\[  FAILED  \] (\S+)", output))
            return f"{schedule}: {found.group(1)[:80] if found else 'fails'}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--filter", default="Cuda*:Device*:Graphed*")
    parser.add_argument("--only", default="", help="mutate only what holds this text")
    parser.add_argument("--seconds", type=float, default=300, help="for one run of the tests")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    files = [f.resolve() for f in options.files] or sorted(
        [*ROOT.glob("kernels/*.cu"), *ROOT.glob("kernels/cuda/*.cu"), *ROOT.glob("kernels/cuda/*.cuh"),
         ROOT / "kernels/cuda/matrix.h"])
    for path in files:
        if not path.is_file() or not path.is_relative_to(ROOT):
            parser.error(f"no file of {ROOT}: {path}")
    if not any(options.only in found for path in files for *_, found in sites(path)):
        parser.error("nothing to delete" + (f" holds {options.only}" if options.only else ""))
    with tempfile.TemporaryDirectory() as temporary:
        scratch = pathlib.Path(temporary)
        copy = scratch / "include/gradus"
        shutil.copytree(ROOT / "kernels", copy / "kernels")
        (copy / "tests").mkdir()
        shutil.copytree(ROOT / "tests/cuda", copy / "tests/cuda")
        builds = {"plain": Build(options.build, scratch, "gradus_tests"),
                  "race": Build(options.build, scratch, "gradus_race_tests")}
        for name, build in builds.items():
            said = verdict(build.make(), options.filter, options.seconds)
            if said:
                raise SystemExit(f"{name}: the tests fail before anything is mutated: {said}")
        missed = total = 0
        for path in files:
            relative = path.relative_to(ROOT)
            text = path.read_text()
            for begin, end, replacement, line, found in sites(path):
                if options.only not in found:
                    continue
                (copy / relative).write_text(text[:begin] + replacement + text[end:])
                said = {}
                for name, build in builds.items():
                    program = build.make(path)
                    if program:
                        said[name] = verdict(program, options.filter, options.seconds)
                if not said:
                    continue  # no program: what is left does not compile
                total += 1
                noticed = any(said.values())
                missed += not noticed
                what = " ".join(found.split())
                print(f"{'ok    ' if noticed else 'MISSED'} {relative}:{line} {what}")
                for name, words in said.items():
                    print(f"         {name}: {words or 'not noticed'}", flush=True)
            (copy / relative).write_text(text)
        print(f"{total} mutants, {missed} missed")
        sys.exit(missed != 0)


if __name__ == "__main__":
    main()

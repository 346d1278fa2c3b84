#!/usr/bin/env python3
"""Deletes one barrier, wait, commit or shuffle of the CUDA sources at a time and sees who notices.

    tests/mutate_cuda.py --build BUILD [--filter FILTER] [--table FILE] [file...]

BUILD: a configured build folder of this source tree. Every such place becomes a switch, in a copy
of the sources, and what includes them is compiled once, for gradus_tests and for gradus_race_tests;
each mutant is then a run with another switch thrown, of the tests of FILTER that come by there, the
quickest first, under three schedules. A mutant is noticed when a test fails, crashes or hangs. Ends
with 1 when one is missed by both programs and its place is not in HARMLESS. The sources are never
touched.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEDULES = ("forward", "reverse", "random:1")

# What may be deleted, and which argument takes its place; None: nothing does.
DELETED = {
    "__syncthreads": None,
    "__syncwarp": None,
    "__threadfence": None,
    "__threadfence_system": None,
    "cp_async_wait": None,
    "cp_async_commit": None,
    "__shfl_sync": 1,
    "__shfl_up_sync": 1,
    "__shfl_down_sync": 1,
    "__shfl_xor_sync": 1,
    "__ballot_sync": 1,
    "__syncthreads_or": 0,
    "__syncthreads_and": 0,
    "__syncthreads_count": 0,
}
CALL = re.compile(r"\b(" + "|".join(DELETED) + r")(<[^;<>()]*>)?\(")
# Places whose loss no test can see: (file, text of the line) and why.
HARMLESS = {
    ("kernels/cuda/finding.cuh", "__threadfence_system();"):
        "orders what the host sees while a kernel runs; the emulator's host looks between kernels",
}

SWITCH = """
#include <cstdio>
#include <cstdlib>
namespace {
struct Switches {
  bool reached[4096] = {};
  int deleted = std::getenv("GRADUS_DELETED") ? std::atoi(std::getenv("GRADUS_DELETED")) : -1;
  ~Switches() {
    const char* path = std::getenv("GRADUS_REACHED");
    std::FILE* file = path ? std::fopen(path, "w") : nullptr;
    if (!file) return;
    for (int i = 0; i < 4096; ++i)
      if (reached[i]) std::fprintf(file, "%d\\n", i);
    std::fclose(file);
  }
} switches;
}
extern "C" bool gradus_deleted(int place) {
  switches.reached[place] = true;
  return place == switches.deleted;
}
"""

TABLE = """# What deleting one synchronisation of the CUDA sources does

`tests/mutate_cuda.py --build build/release --table FILE` makes this table. The first to notice is
named: the program (plain, or with the detector of races), the schedule of the emulator, the test.

| place | deleted | noticed by |
|---|---|---|
"""

Place = collections.namedtuple("Place", "file line text")


def arguments(text, begin):
    """The arguments of a call whose parenthesis opens before `begin`, and where it ends."""
    depth, start, found = 1, begin, []
    for at in range(begin, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0 or (depth == 1 and text[at] == ","):
            found.append(text[start:at].strip())
            start = at + 1
        if depth == 0:
            return found, at + 1
    raise SystemExit(f"a call without an end: {text[begin - 40 : begin]}")


def with_switches(path, places):
    """The text of a source whose places are switches; they are appended to `places`."""
    text = path.read_text()
    out, last = [], 0
    for match in CALL.finditer(text):
        begin = text.rfind("\n", 0, match.start()) + 1
        before = text[begin : match.start()]
        # Neither a comment, nor the definition of a helper of that name, nor what it wraps.
        if "//" in before or "::" in before or before.lstrip().startswith(("#", "GRADUS_DEVICE")):
            continue
        given, end = arguments(text, match.end())
        instead = DELETED[match[1]]
        call = text[match.start() : end]
        out.append(text[last : match.start()])
        if instead is None:
            out.append(f"(gradus_deleted({len(places)}) ? void() : void({call}))")
        else:
            out.append(f"(gradus_deleted({len(places)}) ? ({given[instead]}) : {call})")
        last = end
        line = text.count("\n", 0, match.start())
        places.append(Place(str(path.relative_to(ROOT)), line + 1, text.splitlines()[line].strip()))
    return "".join(out) + text[last:]


class Build:
    """A test program: how its emulated objects are compiled, and how it is linked."""

    def __init__(self, folder, scratch, program):
        self.folder = pathlib.Path(folder).resolve()
        self.scratch = scratch
        self.program = scratch / program
        self.ninja(program)
        suffix = "_race" if program == "gradus_race_tests" else ""
        libraries = (f"/gradus_emulated{suffix}.dir/", f"/gradus_emulated_tests{suffix}.dir/")
        self.compile = {}  # wrapper -> command
        for entry in json.loads(self.ninja("-t", "compdb")):
            if entry["file"].endswith(".cu.cpp") and any(l in entry["output"] for l in libraries):
                self.compile[entry["file"]] = self.without_dependencies(shlex.split(entry["command"]))
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
        for option, count in (("-MD", 0), ("-MT", 1), ("-MF", 1)):
            while option in command:
                at = command.index(option)
                del command[at : at + 1 + count]
        return command

    def sources(self, wrapper):
        """The sources of the tree that a wrapper's object is made of."""
        command = [a for a in self.compile[wrapper] if a != "-c"]
        command = command[: command.index("-o")] + ["-MM", wrapper]
        out = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, text=True,
                             check=True).stdout
        return {os.path.realpath(os.path.join(self.folder, p)) for p in
                out.replace("\\\n", " ").split(":", 1)[1].split()}

    def object(self, wrapper):
        """Compiles a wrapper against the copy of the tree, which goes before the tree."""
        made = f"{self.program}.{len(self.objects)}.o"
        self.objects.append(made)
        command = [made if a.endswith(".cpp.o") else a for a in self.compile[wrapper]]
        first = next(i for i, a in enumerate(command) if a.startswith("-I"))
        command[first:first] = [f"-I{self.scratch}/include", "-include", f"{self.scratch}/switch.h"]
        return command

    def make(self, files):
        """The tests with the objects that any of the files is part of."""
        self.objects = [str(self.scratch / "switch.o")]
        commands = [self.object(w) for w in self.compile if self.sources(w) & files]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in pool.map(lambda c: subprocess.run(c, cwd=self.folder, text=True,
                                                          capture_output=True), commands):
                if done.returncode:
                    raise SystemExit(done.stderr)
        at = self.link.index("-o")
        # Linked first, they win over the archives' members of the same names.
        command = [*self.link[:at], *self.objects, "-Wl,--allow-multiple-definition", "-o",
                   str(self.program), *self.link[at + 2 :]]
        shell = " ".join(a if a in ("&&", ":") else shlex.quote(a) for a in command)
        done = subprocess.run(shell, shell=True, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)

    def run(self, tests, seconds, **environment):
        """What the tests say: the first failure, or None."""
        try:
            done = subprocess.run(
                [self.program, f"--gtest_filter={':'.join(tests)}", "--gtest_fail_fast"],
                cwd=self.scratch, capture_output=True, text=True, timeout=seconds,
                errors="replace", env=dict(os.environ, **environment))
        except subprocess.TimeoutExpired:
            return "hangs"
        if done.returncode == 0:
            return None
        output = done.stdout + done.stderr
        test = re.search(r"\[  FAILED  \] ([\w/.]+)", output) or re.search(
            r"\[ RUN      \] ([\w/.]+)(?!.*RUN)", output, re.S)
        found = re.search(r"kernel \w+, [^:]*: ([^\n]*)", output)
        said = test.group(1) if test else ""
        if found:
            said += f": {found.group(1)[:60]}"
        return f"{said}: signal {-done.returncode}" if done.returncode < 0 else said or "fails"


def listed(program, tests):
    """The names of the tests of a filter."""
    out = subprocess.run([program, "--gtest_list_tests", f"--gtest_filter={tests}"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    suite, names = "", []
    for line in out.splitlines():
        word = line.split("#")[0].strip()
        if line.startswith("  "):
            names.append(suite + word)
        elif word.endswith("."):
            suite = word
    return names


def passing(build, tests, count):
    """Of each place the tests that come by, quickest first, as (seconds, test)."""
    reached = build.scratch / "reached"
    by = [[] for _ in range(count)]
    for test in tests:
        start = time.monotonic()
        reached.unlink(missing_ok=True)
        said = build.run([test], 600, GRADUS_REACHED=str(reached))
        if said:
            raise SystemExit(f"a test fails before anything is deleted: {said}")
        for place in map(int, reached.read_text().split()):
            by[place].append((time.monotonic() - start, test))
    return [sorted(b) for b in by]


def batches(tests):
    """Tests to be run together: a quarter of a second's, and each time twice as much."""
    limit, batch, total = 0.25, [], 0
    for seconds, test in tests:
        if batch and total + seconds > limit:
            yield batch, total
            limit, batch, total = 2 * limit, [], 0
        batch.append(test)
        total += seconds
    if batch:
        yield batch, total


def verdict(builds, place, tests):
    """Who notices that a place is gone."""
    for batch, seconds in batches(tests):
        for name, build in builds.items():
            for schedule in SCHEDULES:
                said = build.run(batch, 60 + 20 * seconds, GRADUS_DELETED=str(place),
                                 GRADUS_EMULATOR_SCHEDULE=schedule)
                if said:
                    return f"{name}, {schedule}: {said}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--filter", default="Cuda*:Device*:Graphed*:Linalg*:*Conformance*")
    parser.add_argument("--table", type=pathlib.Path, help="a file for the results, in markdown")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    files = [f.resolve() for f in options.files] or sorted(
        [*ROOT.glob("kernels/*.cu"), *ROOT.glob("kernels/cuda/*.cu"),
         *ROOT.glob("kernels/cuda/*.cuh"), ROOT / "kernels/cuda/matrix.h"])
    for path in files:
        if not path.is_file() or not path.is_relative_to(ROOT):
            parser.error(f"no file of {ROOT}: {path}")
    with tempfile.TemporaryDirectory() as temporary:
        scratch = pathlib.Path(temporary)
        copy = scratch / "include/gradus"
        shutil.copytree(ROOT / "kernels", copy / "kernels")
        shutil.copytree(ROOT / "nn", copy / "nn")
        shutil.copytree(ROOT / "tests/cuda", copy / "tests/cuda")
        (scratch / "switch.h").write_text('extern "C" bool gradus_deleted(int);\n')
        (scratch / "switch.cpp").write_text(SWITCH)
        subprocess.run(["c++", "-O1", "-fPIC", "-c", scratch / "switch.cpp", "-o",
                        scratch / "switch.o"], check=True)
        places, mutated = [], set()
        for path in files:
            before = len(places)
            text = with_switches(path, places)
            if len(places) > before:
                (copy / path.relative_to(ROOT)).write_text(text)
                mutated.add(str(path))
        if not places:
            parser.error("nothing to delete")
        builds = {name: Build(options.build, scratch, program) for name, program in
                  (("plain", "gradus_tests"), ("race", "gradus_race_tests"))}
        for build in builds.values():
            build.make(mutated)
        plain = builds["plain"]
        by = passing(plain, listed(plain.program, options.filter), len(places))
        rows, missed = [], 0
        for number, place in enumerate(places):
            said = verdict(builds, number, by[number])
            why = HARMLESS.get((place.file, place.text.split("  //")[0]))
            missed += not said and not why
            if not said:
                said = f"harmless: {why}" if why else "MISSED" if by[number] else "MISSED: never run"
            rows.append((place, said))
            print(f"{place.file}:{place.line} {place.text}\n    {said}", flush=True)
        print(f"{len(places)} mutants, {missed} missed")
        if options.table:
            options.table.write_text(TABLE + "".join(
                f"| `{p.file}:{p.line}` | `{p.text.split('  //')[0]}` | {said} |\n"
                for p, said in rows))
        sys.exit(missed != 0)


if __name__ == "__main__":
    main()

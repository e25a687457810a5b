#!/usr/bin/env python3
"""Plants the bugs listed in tests/mutants/*.txt, one at a time, and says which of them the tests find.

    python3 tests/mutants/run.py [OPTION…] [FILTER…]

A FILTER keeps the bugs whose list, name, file or test contains it; without one, every bug is planted. The tree is copied
to a scratch folder, files that are not committed included, and built there. The tests named by the bugs must pass before
anything is planted. README.md in this folder describes the format of a list.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT_S = 600  # a test that takes longer has noticed the bug


class ListError(Exception):
    """A list that cannot be read."""


class Bug:
    def __init__(self, source, name):
        self.source, self.name = source, name
        self.file = self.breaks = ""
        self.tests = []  # (binary, gtest filter)
        self.edits = []  # [old lines, new lines]

    def title(self):
        return f"{self.source}: {self.name}"

    def matches(self, words):
        text = " ".join([self.title(), self.file, *(f"{binary} {names}" for binary, names in self.tests)])
        return not words or any(word in text for word in words)

    def planted(self, text):
        """The text with the bug in it, or the reason why it cannot be planted."""
        for old_lines, new_lines in self.edits:
            old = "\n".join(old_lines)
            count = text.count(old)
            if count != 1:
                return None, "text not in the file" if count == 0 else f"text {count} times in the file"
            text = text.replace(old, "\n".join(new_lines))
        return text, ""


def read_list(path):
    """The bugs of one list."""
    bugs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        where = f"{path.name}:{number}"
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            if not line.rstrip().endswith("]"):
                raise ListError(f"{where}: the name of a bug ends with ]")
            bugs.append(Bug(path.stem, line.strip()[1:-1]))
            continue
        if not bugs:
            raise ListError(f"{where}: expected the name of a bug in brackets")
        bug = bugs[-1]
        if line[0] in "-+":
            content = line[2:] if line[1:2] == " " else line[1:]
            if line[0] == "-":
                if not bug.edits or bug.edits[-1][1]:
                    bug.edits.append([[], []])
                bug.edits[-1][0].append(content)
            elif bug.edits:
                bug.edits[-1][1].append(content)
            else:
                raise ListError(f"{where}: + without the - lines that it replaces")
            continue
        field, _, value = (part.strip() for part in line.partition(":"))
        if field == "file":
            bug.file = value
        elif field == "breaks":
            bug.breaks = value
        elif field == "test":
            binary, _, names = value.partition(" ")
            bug.tests.append((binary, names.strip() or "*"))
        else:
            raise ListError(f"{where}: expected file, breaks, test, - or +, found '{line}'")
    for bug in bugs:
        if not (bug.file and bug.breaks and bug.tests and bug.edits):
            raise ListError(f"{path.name}: [{bug.name}] needs file, breaks, test and - lines")
    return bugs


class Scratch:
    """A copy of the tree with a build folder of its own."""

    def __init__(self, root, jobs):
        self.root, self.jobs = root, jobs
        self.build = root / "build" / "release"
        # Paths inside the scratch folder do not keep ccache from finding what was compiled elsewhere.
        self.environment = dict(os.environ, CCACHE_BASEDIR=str(root), CCACHE_NOHASHDIR="1", LC_ALL="C.UTF-8")

    def copy_tree(self):
        listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True,
                                capture_output=True).stdout.decode().split("\0")
        wanted = {name for name in listed if name and (ROOT / name).is_file()}
        for name in wanted:
            to = self.root / name
            if to.exists() and to.read_bytes() == (ROOT / name).read_bytes():
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to)
        for path in list(self.root.rglob("*")):  # left by an earlier run on the same folder
            name = path.relative_to(self.root)
            if name.parts[0] != "build" and path.is_file() and str(name) not in wanted:
                path.unlink()

    def run(self, *command, limit=None):
        """Exit status and output; a command beyond its limit ends with status 124."""
        try:
            done = subprocess.run(command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, errors="replace", timeout=limit)
            return done.returncode, done.stdout
        except subprocess.TimeoutExpired:
            return 124, f"stopped after {limit} s"

    def configure(self):
        return self.run("cmake", "--preset", "release")

    def make(self, targets):
        return self.run("cmake", "--build", str(self.build), "-j", str(self.jobs), "--target", *sorted(targets))

    def test(self, binary, names):
        """Passed or not, and the first test that failed."""
        status, output = self.run(str(self.build / "bin" / binary), f"--gtest_filter={names}", "--gtest_brief=1",
                                  limit=LIMIT_S)
        failed = re.search(r"^\[  FAILED  \] (\S+?),? ", output, re.MULTILINE)
        ran = re.search(r"^\[==========\] (\d+) test", output, re.MULTILINE)
        if status == 0:
            return bool(ran) and int(ran.group(1)) > 0, "no test of this name"
        return False, failed.group(1) if failed else f"{binary} ended with status {status}"


def fail(message, output=""):
    sys.exit(f"{message}\n{output[-3000:]}".rstrip())


def check_without_bugs(scratch, bugs):
    """Builds every binary that is needed; its tests must pass before their failing means anything."""
    print("building the tree without bugs", flush=True)
    for status, output in (scratch.configure(), scratch.make({binary for bug in bugs for binary, _ in bug.tests})):
        if status != 0:
            fail("the tree does not build", output)
    for binary, names in sorted({test for bug in bugs for test in bug.tests}):
        passed, why = scratch.test(binary, names)
        if not passed:
            fail(f"{binary} {names} fails without a bug: {why}")


def plant(scratch, bug):
    """One line: found, SURVIVED, or why it could not be planted."""
    path = scratch.root / bug.file
    original = path.read_text(encoding="utf-8") if path.is_file() else None
    text, problem = bug.planted(original) if original is not None else (None, "no such file")
    if text is None:
        return problem
    try:
        path.write_text(text, encoding="utf-8")
        status, output = scratch.make({binary for binary, _ in bug.tests})
        if status != 0:
            error = re.search(r"error: (.*)", output)
            return f"does not build: {error.group(1) if error else output[-200:]}"
        for binary, names in bug.tests:
            passed, why = scratch.test(binary, names)
            if not passed:
                return f"found by {why}"
        return "SURVIVED"
    finally:
        path.write_text(original, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filters", nargs="*", metavar="FILTER")
    parser.add_argument("--scratch", type=pathlib.Path, help="folder of the copy, kept for the next run")
    parser.add_argument("--texts", action="store_true", help="check only that each text is once in its file")
    parser.add_argument("-j", dest="jobs", type=int, default=os.cpu_count(), help="compilers at a time")
    options = parser.parse_args()
    try:
        bugs = [bug for path in sorted(pathlib.Path(__file__).parent.glob("*.txt")) for bug in read_list(path)]
    except ListError as error:
        fail(str(error))
    bugs = [bug for bug in bugs if bug.matches(options.filters)]
    if not bugs:
        fail("no bug matches")

    if options.texts:
        problems = 0
        for bug in bugs:
            path = ROOT / bug.file
            problem = bug.planted(path.read_text(encoding="utf-8"))[1] if path.is_file() else "no such file"
            problems += bool(problem)
            if problem:
                print(f"{problem:40} {bug.title()} ({bug.file})")
        print(f"{len(bugs) - problems} of {len(bugs)} bugs can be planted")
        return 1 if problems else 0

    root = options.scratch or pathlib.Path(tempfile.mkdtemp(prefix="mutants-"))
    root.mkdir(parents=True, exist_ok=True)
    results = []
    try:
        scratch = Scratch(root.resolve(), options.jobs)
        scratch.copy_tree()
        check_without_bugs(scratch, bugs)
        for bug in bugs:
            start = time.monotonic()
            results.append(plant(scratch, bug))
            print(f"{bug.title()} ({time.monotonic() - start:.0f} s)\n    {results[-1]}", flush=True)
    finally:
        if not options.scratch:
            shutil.rmtree(root)
    found = sum(result.startswith("found") for result in results)
    survived = results.count("SURVIVED")
    print(f"{found} of {len(bugs)} found, {survived} survived, {len(bugs) - found - survived} could not be planted")
    return 0 if found == len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main())

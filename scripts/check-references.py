#!/usr/bin/env python3
"""Checks that what the documents point to is there.

Every relative link in a Markdown file leads to a file. Every `path.rs::name` in ARCHITECTURE.md is a
file of the workspace and a name that the file defines. Prints a line for each fault; exit code 1 if
there is one.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
HOP = re.compile(r"`([\w/]+\.rs)::([\w:]+)`")
DEFINITION = r"\b(?:fn|struct|enum|trait|type|const|mod)\s+{}\b|\bimpl\b[^\n]*\b{}\b"


def tracked(pattern):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    return sorted(set(listed.stdout.split()))


def links(document):
    text = (ROOT / document).read_text()
    for number, line in enumerate(text.splitlines(), 1):
        for target in LINK.findall(line):
            if "://" not in target and not ((ROOT / document).parent / target).exists():
                yield f"{document}:{number}: no file `{target}`"


def hops(document, sources):
    for number, line in enumerate((ROOT / document).read_text().splitlines(), 1):
        for path, names in HOP.findall(line):
            found = [source for source in sources if source.endswith("/" + path)]
            if not found:
                yield f"{document}:{number}: no file `{path}`"
                continue
            texts = [(ROOT / source).read_text() for source in found]
            for name in filter(None, names.split("::")):
                if not any(re.search(DEFINITION.format(name, name), text) for text in texts):
                    yield f"{document}:{number}: no `{name}` in `{path}`"


faults = [fault for document in tracked("*.md") for fault in links(document)]
faults += hops("ARCHITECTURE.md", tracked("*.rs"))
print("\n".join(faults) or "every link and every hop leads somewhere")
sys.exit(1 if faults else 0)

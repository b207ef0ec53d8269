#!/usr/bin/env python3
"""Prints what is in the binary as CycloneDX 1.5: each crate with its version, licence, checksum and own dependencies; or, with
--notices, the licences themselves, as their authors ask for.

The same Cargo.lock gives the same bytes. What only tests, build scripts and macros use is not in the binary, nor in the list;
what the compiler itself runs to make the binary (procedural macros) is, for it wrote part of the code.
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import uuid

ROOT = "batch-node-agent"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--target", required=True, help="the triple that the binary is for")
    options.add_argument("--version", required=True, help="the version of the package")
    options.add_argument("--notices", action="store_true", help="print the licences' texts instead")
    options = options.parse_args()
    metadata = cargo_metadata(options.target)
    packages = {package["id"]: package for package in metadata["packages"]}
    links = dependencies(metadata)
    root = next(id for id, package in packages.items() if package["name"] == ROOT)
    held = reachable(root, links)
    if options.notices:
        print(notices([packages[id] for id in held - {root}]))
        return
    bom = described(packages, links, root, held, options)
    digest = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).hexdigest()
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    print(json.dumps(bom, indent=1, sort_keys=True))


def described(packages, links, root, held, options):
    sums = checksums()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": component(packages[root], {}) | {"type": "application", "version": options.version},
            "properties": [{"name": "cargo:target", "value": options.target}],
        },
        "components": sorted(
            (component(packages[id], sums) for id in held - {root}), key=lambda part: part["bom-ref"]
        ),
        "dependencies": sorted(
            (
                {"ref": purl(packages[id]), "dependsOn": sorted({purl(packages[to]) for to in links[id] & held})}
                for id in held
            ),
            key=lambda part: part["ref"],
        ),
    }


def notices(packages):
    """Each licence's text once, under the names of the crates that came with it."""
    crates_of = {}
    for package in packages:
        folder = pathlib.Path(package["manifest_path"]).parent
        for file in sorted(folder.iterdir()):
            if re.match(r"(?i)(un)?licen[cs]e|copying|copyright|notice", file.name) and file.is_file():
                text = "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())
                crates_of.setdefault(text, set()).add(f"{package['name']} {package['version']}")
    parts = sorted((sorted(crates), text) for text, crates in crates_of.items())
    return "\n\n".join(f"{'=' * 100}\n{', '.join(crates)}\n{'=' * 100}\n{text}" for crates, text in parts)


def cargo_metadata(target):
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--no-default-features", "--filter-platform", target]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def dependencies(metadata):
    """What each package brings into the binary."""
    def ordinary(dependency):
        return any(kind["kind"] is None for kind in dependency["dep_kinds"])

    return {
        node["id"]: {dependency["pkg"] for dependency in node["deps"] if ordinary(dependency)}
        for node in metadata["resolve"]["nodes"]
    }


def reachable(root, links):
    seen, left = {root}, [root]
    while left:
        new = links[left.pop()] - seen
        seen |= new
        left += new
    return seen


def checksums():
    """The sha256 of each crate as crates.io has it."""
    # By hand, because Ubuntu 22.04's Python has no TOML.
    with open("Cargo.lock") as lock:
        entries = (dict(re.findall(r'^(\w+) = "(.*)"$', entry, re.M)) for entry in lock.read().split("[[package]]")[1:])
    return {(entry["name"], entry["version"]): entry.get("checksum") for entry in entries}


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, sums):
    found = {
        "type": "library",
        "bom-ref": purl(package),
        "purl": purl(package),
        "name": package["name"],
        "version": package["version"],
    }
    if package["license"]:
        # Old crates part alternatives with a slash, which is no SPDX expression.
        found["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    if sum := sums.get((package["name"], package["version"])):
        found["hashes"] = [{"alg": "SHA-256", "content": sum}]
    return found


if __name__ == "__main__":
    main()

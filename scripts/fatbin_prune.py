"""Removes the kernels of all GPU architectures but one from a linked CUDA library.

python3 scripts/fatbin_prune.py IN.so 90 OUT.so       90 is the compute capability 9.0 (H100, H200)

A library stores its kernels in containers (section .nv_fatbin) with one member per architecture. Each container is rewritten in
place with its header and the kept members, and the rest is zeroed: addresses and the file size do not change, and zeros compress
well. A container without the architecture is not changed. Needs readelf.
"""
import re
import struct
import subprocess
import sys

MAGIC = 0xBA55ED50


def section(library):
    """First byte and end of .nv_fatbin in the file."""
    table = subprocess.run(["readelf", "--section-headers", "--wide", library], capture_output=True, text=True, check=True)
    found = re.search(r"\.nv_fatbin\s+PROGBITS\s+\w+\s+(\w+)\s+(\w+)", table.stdout)
    if not found:
        sys.exit(f"{library}: has no section .nv_fatbin, so there is nothing to prune")
    offset = int(found[1], 16)
    return offset, offset + int(found[2], 16)


def members(data, at, end):
    """Architecture and bytes of every member of a container."""
    while at < end:
        _kind, _attributes, header, payload = struct.unpack_from("<HHIQ", data, at)
        (architecture,) = struct.unpack_from("<I", data, at + 28)
        yield architecture, bytes(data[at : at + header + payload])
        at += header + payload


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    library, keep, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    with open(library, "rb") as file:
        data = bytearray(file.read())
    at, end = section(library)
    pruned = whole = zeroed = 0
    while at < end - 16:
        magic, _version, header, size = struct.unpack_from("<IHHQ", data, at)
        if magic != MAGIC:
            at += 8
            continue
        first, last = at + header, at + header + size
        kept = b"".join(member for architecture, member in members(data, first, last) if architecture == keep)
        if kept:
            struct.pack_into("<Q", data, at + 8, len(kept))
            data[first:last] = kept + bytes(size - len(kept))
            pruned, zeroed = pruned + 1, zeroed + size - len(kept)
        else:
            whole += 1
        at = last
    if not pruned:
        sys.exit(f"{library}: holds no kernel for architecture {keep}")
    with open(out, "wb") as file:
        file.write(data)
    print(f"{out}: {pruned} containers pruned, {whole} left whole, {zeroed / 1e6:.1f} MB zeroed", file=sys.stderr)


if __name__ == "__main__":
    main()

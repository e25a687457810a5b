"""Compares the kernels of the built CUDA backend with tests/gpu/kernels.txt: registers, static shared memory, local
memory (spills and arrays) and predicted occupancy of each kernel on each architecture. One line for each difference.

    python3 tests/gpu/kernels.py [--library build/release/lib/libtessera_cuda.so]
    python3 tests/gpu/kernels.py --update        # writes the table anew; look at its diff

Reads the library itself, because a toolkit without cuobjdump is enough to build it. Without nvcc there is nothing to
compare: it prints "skipped: no nvcc" and succeeds. The registers are those of one version of nvcc, which the table
names; with another it says so and compares local memory alone.
"""

import argparse
import ctypes
import ctypes.util
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TABLE = ROOT / "tests/gpu/kernels.txt"
FIELDS = ["registers", "shared", "local", "threads", "occupancy"]

# Of a multiprocessor: registers, shared memory and most threads and blocks that can reside on it.
LIMITS = {80: (65536, 164 * 1024, 2048, 32), 90: (65536, 228 * 1024, 2048, 32)}

RESERVED_SHARED = 1024  # of each block, by the system

# Attributes in the sections .nv.info (by kernel) and .nv.info.KERNEL.
MAX_THREADS, REQUIRED_THREADS, FRAME_SIZE, REGISTERS = 0x05, 0x10, 0x11, 0x2F

# Containers of device code, kinds of entries, flags of their compression.
FATBIN_MAGIC, ELF_ENTRY, LZ4, ZSTD = 0xBA55ED50, 2, 0x2000, 0x8000


def find_nvcc():
    found = os.environ.get("CUDACXX") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    return found if shutil.which(found) else None


def nvcc_version(nvcc):
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"V(\d+\.\d+\.\d+)", text).group(1)


def elf_sections(data):
    """(name, content, size, link) of each section of a 64-bit ELF file."""
    offset, = struct.unpack_from("<Q", data, 40)
    entry_size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * entry_size) for i in range(count)]
    text = headers[names][4]
    sections = []
    for name, kind, _, _, start, size, link, _, _, _ in headers:
        end = data.index(b"\0", text + name)
        content = b"" if kind == 8 else data[start:start + size]
        sections.append((data[text + name:end].decode(), content, size, link))
    return sections


def unzstd(data, size):
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    target = ctypes.create_string_buffer(size)
    if library.ZSTD_decompress(target, size, data, len(data)) != size:
        raise SystemExit("kernels.py: a block of device code cannot be decompressed")
    return target.raw


def unlz4(data, size):
    """One LZ4 block."""
    result, i = bytearray(), 0

    def length(start):
        nonlocal i
        total = start
        if start == 15:
            while True:
                byte = data[i]
                i += 1
                total += byte
                if byte != 255:
                    break
        return total

    while i < len(data) and len(result) < size:
        token = data[i]
        i += 1
        literals = length(token >> 4)
        result += data[i:i + literals]
        i += literals
        if len(result) >= size:
            break
        back = data[i] | data[i + 1] << 8
        i += 2
        for _ in range(length(token & 15) + 4):
            result.append(result[-back])
    return bytes(result)


def cubins(library):
    """(architecture, ELF file) of each piece of machine code in the library."""
    for name, content, _, _ in elf_sections(library):
        if name != ".nv_fatbin":
            continue
        at = 0
        while at + 16 <= len(content):
            magic, _, header, size = struct.unpack_from("<IHHQ", content, at)
            if magic != FATBIN_MAGIC:
                at += 8  # padding between containers
                continue
            entry, end = at + header, at + header + size
            while entry < end:
                kind, _, entry_header, payload, packed = struct.unpack_from("<HHIQI", content, entry)
                arch, = struct.unpack_from("<I", content, entry + 28)
                flags, plain = struct.unpack_from("<Q8xQ", content, entry + 40)
                if kind == ELF_ENTRY:
                    body = content[entry + entry_header:entry + entry_header + payload]
                    if flags & ZSTD:
                        body = unzstd(body[:packed], plain)
                    elif flags & LZ4:
                        body = unlz4(body[:packed], plain)
                    yield arch, body
                entry += entry_header + payload
            at = end


def attributes(content):
    """attribute -> list of values of a .nv.info section."""
    found, at = {}, 0
    while at + 4 <= len(content):
        form, attribute, size = struct.unpack_from("<BBH", content, at)
        at += 4
        if form == 4:
            found.setdefault(attribute, []).append(content[at:at + size])
            at += size
    return found


def kernels_of(cubin, arch):
    """mangled name -> registers, static shared memory, local memory, threads of a block (0: not declared)."""
    sections = elf_sections(cubin)
    by_name = {name: content for name, content, _, _ in sections}
    sizes = {name: size for name, _, size, _ in sections}
    symbols, link = next((content, link) for name, content, _, link in sections if name == ".symtab")
    strings = sections[link][1]

    def symbol(index):
        start, = struct.unpack_from("<I", symbols, 24 * index)
        return strings[start:strings.index(b"\0", start)].decode()

    def by_kernel(attribute):
        pairs = (struct.unpack("<II", value) for value in attributes(by_name[".nv.info"]).get(attribute, []))
        return {symbol(index): number for index, number in pairs}

    registers, local = by_kernel(REGISTERS), by_kernel(FRAME_SIZE)
    result = {}
    for name in by_name:
        if not name.startswith(".text."):
            continue
        kernel = name[len(".text."):]
        about = attributes(by_name.get(".nv.info." + kernel, b""))
        bounds = about.get(REQUIRED_THREADS) or about.get(MAX_THREADS)
        x, y, z = struct.unpack("<III", bounds[0]) if bounds else (0, 0, 0)
        shared = sizes.get(".nv.shared." + kernel, 0)
        if arch >= 90 and shared:
            shared -= RESERVED_SHARED  # sm_80 does not count it here
        result[kernel] = (registers[kernel], shared, local.get(kernel, 0), x * y * z)
    return result


def occupancy(arch, registers, shared, threads):
    """The percentage of a multiprocessor's threads that can reside, by the block's declared size and without its
    dynamic shared memory."""
    if threads == 0:
        return 0
    all_registers, all_shared, all_threads, all_blocks = LIMITS[arch]
    warps = -(-threads // 32)
    of_warp = -(-registers * 32 // 256) * 256  # registers are given out in units of 256 a warp
    all_warps = 4 * (all_registers // 4 // of_warp)  # a multiprocessor has four files of registers
    blocks = min(all_blocks, all_threads // (32 * warps), all_warps // warps, all_shared // (shared + RESERVED_SHARED))
    return round(100 * blocks * warps * 32 / all_threads)


def demangled(names):
    """Short names: no parameters, no namespaces, no hash of the file."""
    text = subprocess.run(["c++filt"], input="\n".join(names) + "\n", capture_output=True, text=True, check=True).stdout
    result = []
    for name in text.splitlines():
        name = re.sub(r"_GLOBAL__N__[0-9a-f]+_\d+_\w+?_cu_[0-9a-f]+(_\d+)?::", "", name)
        name = re.sub(r"_INTERNAL_[0-9a-f]+_\d+_\w+?_cu_[0-9a-f]+(_\d+)?::", "", name)
        name = re.sub(r"\(anonymous namespace\)::|tessera::(cuda::)?|^void ", "", name)
        depth, end = 0, len(name)
        for i, letter in enumerate(name):  # the parameters begin at the first "(" outside of template arguments
            depth += (letter == "<") - (letter == ">")
            if letter == "(" and depth == 0:
                end = i
                break
        name = re.sub(r"\((\w+)\)(-?\d)", r"\2", name[:end])  # "(int)4" is 4
        result.append(name.replace(" ", ""))
    return result


def measured(library):
    """(name, architecture) -> numbers as in FIELDS."""
    found = {}
    for arch, cubin in cubins(library):
        if arch not in LIMITS:
            raise SystemExit(f"kernels.py: sm_{arch} is not in LIMITS")
        raw = kernels_of(cubin, arch)
        for name, (registers, shared, local, threads) in zip(demangled(raw), raw.values()):
            numbers = (registers, shared, local, threads, occupancy(arch, registers, shared, threads))
            # A template of a header may stand in several files; the worst counts.
            found[name, arch] = max(numbers, found.get((name, arch), numbers))
    return found


def read_table():
    """The compiler's version and the table."""
    version, rows = "", {}
    for line in TABLE.read_text().splitlines():
        if line.startswith("# nvcc "):
            version = line.split()[2]
        if line and not line.startswith("#"):
            *numbers, arch, name = line.split()
            rows[name, int(arch[3:])] = tuple(map(int, numbers))
    return version, rows


def write_table(version, rows):
    lines = ["# Kernels of the CUDA backend, by tests/gpu/kernels.py --update: bytes of static shared and of local memory,",
             "# the most threads of a block that the kernel declares, occupancy in % with that many and without dynamic",
             "# shared memory (0 where none is declared).",
             f"# nvcc {version}",
             "# registers shared local threads occupancy architecture name"]
    for (name, arch), numbers in sorted(rows.items()):
        lines.append("".join(f"{number:>6}" for number in numbers) + f"  sm_{arch}  {name}")
    TABLE.write_text("\n".join(lines) + "\n")


def differences(expected, found, same_compiler):
    for key in sorted(expected.keys() | found.keys()):
        name, arch = key
        if key not in found:
            yield f"{name} sm_{arch}: is in the table and not in the library"
        elif key not in expected:
            yield f"{name} sm_{arch}: is not in the table"
        else:
            wanted = FIELDS if same_compiler else ["local"]
            changes = [f"{field} {old} -> {new}" for field, old, new in zip(FIELDS, expected[key], found[key])
                       if old != new and field in wanted]
            if changes:
                yield f"{name} sm_{arch}: {', '.join(changes)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=pathlib.Path, default=ROOT / "build/release/lib/libtessera_cuda.so")
    parser.add_argument("--update", action="store_true", help="write the table anew")
    a = parser.parse_args()
    nvcc = find_nvcc()
    if nvcc is None:
        print("skipped: no nvcc")
        return 0
    if not a.library.exists():
        print(f"{a.library} does not exist; build the target tessera_cuda first", file=sys.stderr)
        return 1
    found = measured(a.library.read_bytes())
    if not found:
        print(f"{a.library} has no kernels", file=sys.stderr)
        return 1
    version = nvcc_version(nvcc)
    if a.update:
        write_table(version, found)
        print(f"{len(found)} rows written to {TABLE.relative_to(ROOT)}")
        return 0
    table_version, expected = read_table()
    if table_version != version:
        print(f"the table is of nvcc {table_version}, this is {version}: only local memory is compared")
    lines = list(differences(expected, found, table_version == version))
    for line in lines:
        print(line)
    print(f"{len(found)} kernels, {len(lines)} differ" + ("; if that is meant: kernels.py --update" if lines else ""))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

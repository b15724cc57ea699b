"""The program as built: what the compiler and the linker were asked for is in it."""

import pathlib
import re
import subprocess

import pytest

import harness
from harness import imprint_sync

X86 = "Advanced Micro Devices X86-64"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def elf():
    return output("readelf", "--wide", "--file-header", "--dynamic", "--program-headers",
                  imprint_sync())


def test_it_is_position_independent(elf):
    assert re.search(r"Type: +DYN ", elf)
    assert re.search(r"FLAGS_1.*\bPIE\b", elf)


def test_it_looks_for_libraries_only_where_the_system_does(elf):
    assert not re.search(r"\((RPATH|RUNPATH)\)", elf)


def test_nothing_of_it_is_both_writable_and_executable(elf):
    segments = re.findall(r"^  (\w+) +0x\S+ 0x\S+ 0x\S+ 0x\S+ 0x\S+ ([R ][W ][E ]) ", elf, re.M)
    assert "GNU_STACK" in dict(segments)
    assert [s for s in segments if "W" in s[1] and "E" in s[1]] == []


# ---- what sanitizers bring checks of their own for ------------------------------------------------

@pytest.fixture(scope="module")
def symbols(elf):
    names = set(re.findall(r" U ([\w]+)", output("nm", "--dynamic", imprint_sync())))
    if harness.is_sanitized():
        pytest.skip("a sanitizer build")
    if re.search("BUILD_TYPE:[A-Z]+=Debug", (
            pathlib.Path(imprint_sync()).parent / "CMakeCache.txt").read_text()):
        pytest.skip("a build without optimization")
    return names


@pytest.fixture(scope="module")
def code(elf, symbols):
    if X86 not in elf:
        pytest.skip("not an x86")
    return output("objdump", "--disassemble", "--no-show-raw-insn", imprint_sync())


def test_its_function_table_is_read_only_before_main(elf, symbols):
    assert re.search(r"GNU_RELRO", elf)
    assert re.search(r"FLAGS_1.*\bNOW\b", elf)


def test_stack_and_buffers_are_guarded(symbols):
    assert "__stack_chk_fail" in symbols
    assert {"__snprintf_chk", "__memcpy_chk"} <= symbols


def test_large_frames_are_probed_page_by_page(code):
    assert re.search(r"orq? +\$0x0,\(%rsp\)", code)


def test_indirect_calls_can_be_checked_by_the_processor(code):
    """The linker's note on it needs start files that have it, which Debian 12 lacks."""
    functions = re.findall(r"^\w+ <(?:main|\w+_on_\w+)>:\n +\w+:\t(\w+)", code, re.M)
    assert len(functions) > 50 and set(functions) == {"endbr64"}

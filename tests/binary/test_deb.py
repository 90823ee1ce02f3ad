from __future__ import annotations

import hashlib
import io
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from hotmend.binary import deb
from hotmend.binary.deb import load_bundle, unpack
from hotmend.binary.errors import BinaryError
from real_packages import EXPAT, SSL_17_20, XML2, real

CONTROL = "Package: thing\nVersion: 1.0-1\nArchitecture: {}\nMaintainer: N <n@x>\nDescription: t\n"


def ar(members: dict[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def small_deb(files: dict[str, bytes], architecture: str = "amd64") -> bytes:
    control = tar({"./control": CONTROL.format(architecture).encode()})
    return ar({"debian-binary": b"2.0\n", "control.tar": control, "data.tar": tar(files)})


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """libexpat.so.1 as a file of its own."""
    unpack(real(EXPAT[0]), tmp_path / "expat")
    return tmp_path / "expat/lib/x86_64-linux-gnu/libexpat.so.1.8.10"


def refusal(data: bytes, folder: Path, name: str = "input.deb") -> str:
    path = folder / name
    path.write_bytes(data)
    with pytest.raises(BinaryError) as caught:
        load_bundle(path)
    return str(caught.value)


def test_a_package_gives_its_name_version_and_images() -> None:
    bundle = load_bundle(real(SSL_17_20[0]))
    assert (bundle.package, bundle.version) == ("libssl3", "3.0.17-1~deb12u2")
    assert (bundle.architecture, bundle.source) == ("amd64", "openssl")
    assert {"libssl.so.3", "libcrypto.so.3"} <= {image.name for image in bundle.images}
    assert bundle.changelog is not None
    assert bundle.changelog.startswith("openssl (3.0.17-1~deb12u2)")
    assert bundle.sha256 == hashlib.sha256(real(SSL_17_20[0]).read_bytes()).hexdigest()


def test_build_ids_are_those_that_readelf_shows(tmp_path: Path) -> None:
    image = load_bundle(real(XML2[0])).images[0]
    (tmp_path / "image").write_bytes(image.data)
    listing = subprocess.run(
        ["readelf", "-n", tmp_path / "image"], capture_output=True, check=True, text=True
    ).stdout
    assert image.build_id is not None
    assert image.build_id.hex in listing


def test_an_unpacked_package_gives_the_same_images_as_the_package(tmp_path: Path) -> None:
    unpack(real(XML2[0]), tmp_path / "tree")
    ours, theirs = load_bundle(tmp_path / "tree"), load_bundle(real(XML2[0]))
    assert ours.images == theirs.images
    assert (ours.package, ours.version) == ("libxml2", theirs.version)
    assert ours.changelog == theirs.changelog


def test_unpacking_gives_what_dpkg_deb_gives(tmp_path: Path) -> None:
    unpack(real(EXPAT[0]), tmp_path / "ours")
    subprocess.run(["dpkg-deb", "-x", real(EXPAT[0]), tmp_path / "theirs"], check=True)
    diff = ["diff", "-r", "--no-dereference", tmp_path / "ours", tmp_path / "theirs"]
    assert subprocess.run(diff, capture_output=True, check=False).stdout == b""


def test_the_digest_of_a_folder_follows_its_content_not_its_name(tmp_path: Path) -> None:
    unpack(real(EXPAT[0]), tmp_path / "one")
    unpack(real(EXPAT[0]), tmp_path / "two")
    unpack(real(EXPAT[1]), tmp_path / "three")
    one, two, three = (load_bundle(tmp_path / name).sha256 for name in ("one", "two", "three"))
    assert one == two != three


def test_a_lone_elf_file_has_no_package_and_no_version(library: Path) -> None:
    bundle = load_bundle(library)
    assert (bundle.package, bundle.version, bundle.changelog) == ("", "", None)
    assert [image.name for image in bundle.images] == ["libexpat.so.1"]


@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_every_compression_that_dpkg_writes_is_read(compression: str, tmp_path: Path) -> None:
    if compression == "zstd" and shutil.which("unzstd") is None:
        pytest.skip("no unzstd on this machine: python 3.11 cannot read zstd by itself")
    unpack(real(EXPAT[0]), tmp_path / "tree")
    (tmp_path / "tree/DEBIAN").mkdir()
    (tmp_path / "tree/DEBIAN/control").write_text(CONTROL.format("amd64"))
    build = ["dpkg-deb", f"-Z{compression}", "--build", tmp_path / "tree", tmp_path / "x.deb"]
    subprocess.run(build, check=True, capture_output=True)
    bundle = load_bundle(tmp_path / "x.deb")
    assert bundle.package == "thing"
    assert bundle.images == load_bundle(real(EXPAT[0])).images


def test_zstd_without_unzstd_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    data = ar({"debian-binary": b"2.0\n", "control.tar.zst": b"x", "data.tar.zst": b"x"})
    assert "install the package zstd" in refusal(data, tmp_path)


def test_objects_static_programs_and_debug_files_are_passed_over(
    tmp_path: Path, library: Path
) -> None:
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    for command in (
        ["gcc", "-c", "a.c", "-o", "tree/a.o"],
        ["gcc", "-static", "a.c", "-o", "tree/static"],
        ["gcc", "-g", "a.c", "-o", "tree/program"],
        ["objcopy", "--only-keep-debug", "tree/program", "tree/program.debug"],
    ):
        subprocess.run(command, check=True, cwd=tmp_path)
    (tree / "text").write_text("not an ELF file")
    (tree / "link").symlink_to("program")
    assert [image.path for image in load_bundle(tree).images] == ["program"]
    for name, what in (("a.o", "object file"), ("static", "static"), ("program.debug", "debug")):
        with pytest.raises(BinaryError, match=what):
            load_bundle(tree / name)


def test_other_machines_are_named(tmp_path: Path, library: Path) -> None:
    good = library.read_bytes()
    arm = bytearray(good)
    arm[18:20] = (183).to_bytes(2, "little")
    assert "is for arm64" in refusal(bytes(arm), tmp_path, "lib.so")
    assert "is for arm64" in refusal(small_deb({"./usr/lib/l.so": bytes(arm)}), tmp_path)
    assert "is for i386" in refusal(small_deb({"./l.so": good}, "i386"), tmp_path)
    (tmp_path / "good.deb").write_bytes(small_deb({"./usr/lib/l.so": good}))
    assert load_bundle(tmp_path / "good.deb").images[0].path == "usr/lib/l.so"


def test_a_real_32_bit_program_is_named_as_i386(tmp_path: Path) -> None:
    header = bytes.fromhex("7f454c46010101000000000000000000020003000100000000000000")
    assert "is for i386" in refusal(header + bytes(64), tmp_path, "old-program")


def test_what_is_no_input_at_all_is_said_plainly(tmp_path: Path) -> None:
    assert "is empty" in refusal(b"", tmp_path)
    assert "neither a .deb nor an ELF file" in refusal(b"hello, world", tmp_path)
    assert "without debian-binary" in refusal(ar({"x.o": b"abcd"}), tmp_path)
    assert "nothing to patch" in refusal(small_deb({"./README": b"hi"}), tmp_path)
    assert "compression" in refusal(
        ar({"debian-binary": b"2.0\n", "control.tar": tar({}), "data.tar.br": b"x"}), tmp_path
    )
    with pytest.raises(BinaryError, match="does not exist"):
        load_bundle(tmp_path / "absent.deb")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BinaryError, match="nothing to patch"):
        load_bundle(tmp_path / "empty")


@pytest.mark.parametrize("keep", [3, 30, 200, 5_000, -1_000])
def test_a_truncated_package_is_said_to_be_truncated_or_damaged(keep: int, tmp_path: Path) -> None:
    assert "fetch it again" in refusal(real(EXPAT[0]).read_bytes()[:keep], tmp_path)


@pytest.mark.parametrize("keep", [2, 20, 63, 1_000, 100_000, -64, -1])
def test_a_truncated_elf_file_is_said_to_be_truncated(
    keep: int, tmp_path: Path, library: Path
) -> None:
    assert "truncated" in refusal(library.read_bytes()[:keep], tmp_path, "cut.so")


def test_a_package_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = small_deb({f"./{n}": bytes(1 << 20) for n in range(8)})
    monkeypatch.setattr(deb, "MAX_UNPACKED", 64 << 20)
    assert "nothing to patch" in refusal(data, tmp_path)
    monkeypatch.setattr(deb, "MAX_UNPACKED", 4 << 20)
    assert "unpacks to over" in refusal(data, tmp_path)


def test_too_many_members_and_too_large_images_are_refused(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = small_deb({f"./{n}": b"" for n in range(20)} | {"./l.so": library.read_bytes()})
    (tmp_path / "ok.deb").write_bytes(many)
    assert load_bundle(tmp_path / "ok.deb").images
    with monkeypatch.context() as patch:
        patch.setattr(deb, "MAX_MEMBERS", 10)
        assert "over 10 files" in refusal(many, tmp_path)
    monkeypatch.setattr(deb, "MAX_IMAGE", 64 << 10)
    assert "larger than Hotmend reads" in refusal(many, tmp_path)


def test_an_ar_member_of_negative_size_does_not_loop(tmp_path: Path) -> None:
    header = f"{'debian-binary':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{-60:<10}`\n"
    assert "ar index" in refusal(b"!<arch>\n" + header.encode(), tmp_path)


def test_members_that_leave_the_folder_are_not_unpacked(tmp_path: Path) -> None:
    data = small_deb({"../outside": b"bad", "./inside": b"good"})
    (tmp_path / "x.deb").write_bytes(data)
    unpack(tmp_path / "x.deb", tmp_path / "folder")
    assert (tmp_path / "folder/inside").read_bytes() == b"good"
    assert not (tmp_path / "outside").exists()


def test_flipped_bytes_end_in_a_bundle_or_a_binary_error(tmp_path: Path, library: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    for good in (library.read_bytes(), real(EXPAT[0]).read_bytes()):
        for _ in range(150):
            data = bytearray(good)
            for _ in range(dice.randrange(1, 6)):
                # Headers are at the front of an ELF file and of an archive.
                data[dice.randrange(min(len(data), dice.choice((64, 1_000, len(data)))))] ^= (
                    1 << dice.randrange(8)
                )
            path = tmp_path / "flipped"
            path.write_bytes(data)
            try:
                load_bundle(path)
            except BinaryError as error:
                assert "flipped" in str(error)

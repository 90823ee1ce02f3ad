"""A .deb file, a folder or a lone ELF file becomes a Bundle.

python-debian reads the .deb; nothing of it is written to disk, and every count and size is
bounded before it is read. Only x86-64 programs and libraries become images: object files, static
programs, separate debug files and everything that is not ELF are passed over.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from debian.arfile import ArError, ArFile, ArMember
from debian.changelog import Changelog, ChangelogParseError
from debian.deb822 import Deb822

from hotmend.binary.bundle import Bundle, BundleImage
from hotmend.binary.elf_header import MAGIC, ElfKind, read_header
from hotmend.binary.errors import BinaryError, NoCode

MAX_INPUT = 1 << 30
MAX_UNPACKED = 1 << 30
MAX_MEMBERS = 200_000
MAX_IMAGE = 256 << 20
MAX_IMAGES_TOTAL = 1 << 30
MAX_CHANGELOG = 32 << 20
_MAX_AR_MEMBERS = 64
_AR_MAGIC = b"!<arch>\n"
_ARCHITECTURES = ("amd64", "any", "linux-any")
_DEB_FILE = re.compile(r"^(data|control)\.tar(?:\.(gz|xz|bz2|lzma|zst))?$")
_CHANGELOG = re.compile(r"^usr/share/doc/([^/]+)/changelog\.Debian(?:\.gz)?$")
_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError)


def load_bundle(path: Path) -> Bundle:
    """Read one input.

    Raises BinaryError: absent, not a .deb or ELF file, truncated or damaged, for another machine,
    over a bound, or without any image.
    """
    if path.is_dir():
        return _from_folder(path)
    data = _read(path)
    if data.startswith(_AR_MAGIC):
        return _from_deb(data, path.name)
    if data.startswith(MAGIC):
        return _from_elf(data, path.name)
    if not data:
        raise BinaryError(f"{path.name} is empty; give a .deb, an ELF file or a folder")
    if _AR_MAGIC.startswith(data) or MAGIC.startswith(data):
        raise BinaryError(f"{path.name} is truncated; fetch it again")
    raise BinaryError(
        f"{path.name} is neither a .deb nor an ELF file; give a .deb, an ELF file or a folder"
    )


def unpack(path: Path, folder: Path) -> None:
    """Write the tree that a bundle's input stands for into ``folder`` (as ``dpkg-deb -x`` does).

    A folder is copied, a lone ELF file keeps its name. Members that would land outside
    ``folder``, and devices, are passed over. Raises BinaryError as :func:`load_bundle` does.
    """
    if path.is_dir():
        shutil.copytree(path, folder, symlinks=True, dirs_exist_ok=True)
        return
    data = _read(path)
    if not data.startswith(_AR_MAGIC):
        (folder / path.name).write_bytes(data)
        (folder / path.name).chmod(0o755)
        return
    with _tar(_parts(data, path.name)["data"], path.name) as tar:
        for member in _members(tar, path.name):
            try:
                tar.extract(member, folder, set_attrs=True, filter="data")
            except tarfile.FilterError:
                continue


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise BinaryError(f"{path} does not exist or is not a file")
        if path.stat().st_size > MAX_INPUT:
            raise BinaryError(f"{path.name} is over {MAX_INPUT >> 20} MiB, the most that is read")
        return path.read_bytes()
    except OSError as error:
        raise BinaryError(f"{path} cannot be read: {error.strerror}") from None


def _from_elf(data: bytes, name: str) -> Bundle:
    header = read_header(data, name)
    if header.machine != "amd64":
        raise BinaryError(_wrong_machine(name, header.machine))
    if header.kind is not ElfKind.IMAGE:
        raise BinaryError(f"{name} is a {header.kind}; give a shared library or a program")
    image = BundleImage(name, header.soname, header.build_id, data)
    digest = hashlib.sha256(data).hexdigest()
    return Bundle(name, "", "amd64", "", "", "", (image,), None, digest, lone=True)


def _from_deb(data: bytes, name: str) -> Bundle:
    parts = _parts(data, name)
    control = _control(parts["control"], name)
    architecture = control.get("Architecture", "")
    if architecture not in _ARCHITECTURES:
        raise BinaryError(_wrong_machine(name, architecture or "an unnamed architecture"))
    collected = _Collected(name)
    with _tar(parts["data"], name) as tar:
        for member in _members(tar, name):
            if member.isreg() and (content := tar.extractfile(member)) is not None:
                collected.add(str(member.name).removeprefix("./"), member.size, content)
    package, version = control.get("Package", ""), control.get("Version", "")
    source, source_version = _source(control.get("Source", ""), package, version)
    return Bundle(
        label=name,
        package=package,
        architecture=architecture,
        version=version,
        source=source,
        source_version=source_version,
        images=collected.images(),
        changelog=collected.changelog(package),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _from_folder(folder: Path) -> Bundle:
    collected = _Collected(folder.name)
    for path in _files(folder):
        try:
            with path.open("rb") as content:
                collected.add(path.relative_to(folder).as_posix(), path.stat().st_size, content)
        except OSError as error:
            raise BinaryError(f"{path} cannot be read: {error.strerror}") from None
    images = collected.images()
    package = collected.only_package()
    text = collected.changelog(package)
    source, version = _newest(text)
    return Bundle(
        label=folder.name,
        package=package,
        architecture="amd64",
        version=version,
        source=source,
        source_version=version,
        images=images,
        changelog=text,
        sha256=collected.digest(),
    )


class _Collected:
    """What was met on the way through a package or folder."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._images: list[BundleImage] = []
        self._changelogs: dict[str, bytes] = {}
        self._foreign: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._total = 0

    def add(self, path: str, size: int, content: IO[bytes]) -> None:
        """``size`` is what the directory says; at most that much of ``content`` is read."""
        changelog = _CHANGELOG.match(path)
        if changelog:
            raw = content.read(min(size, MAX_CHANGELOG))
            self._digests[path] = hashlib.sha256(raw).hexdigest()
            self._changelogs[changelog[1]] = raw if not path.endswith(".gz") else _gunzip(raw)
            return
        start = content.read(len(MAGIC))
        if start != MAGIC or path.startswith("usr/lib/debug/"):
            return
        self._total += size
        if size > MAX_IMAGE or self._total > MAX_IMAGES_TOTAL:
            raise BinaryError(f"{self._name}: {path} is larger than Hotmend reads")
        data = start + content.read(size - len(start))
        header = read_header(data, f"{self._name}: {path}")
        if header.machine != "amd64":
            self._foreign.setdefault(header.machine, path)
        elif header.kind is ElfKind.IMAGE:
            self._images.append(BundleImage(path, header.soname, header.build_id, data))
            self._digests[path] = hashlib.sha256(data).hexdigest()

    def images(self) -> tuple[BundleImage, ...]:
        if self._images:
            return tuple(sorted(self._images, key=lambda image: image.path))
        for machine, path in sorted(self._foreign.items()):
            raise BinaryError(_wrong_machine(f"{self._name}: {path}", machine))
        raise NoCode(f"{self._name} holds no x86-64 program or library: nothing to patch")

    def changelog(self, package: str) -> str | None:
        raw = self._changelogs.get(package)
        if raw is None and len(self._changelogs) == 1:
            raw = next(iter(self._changelogs.values()))
        return None if raw is None else raw.decode("utf-8", "replace")

    def only_package(self) -> str:
        """The package's name where the tree documents exactly one."""
        return next(iter(self._changelogs)) if len(self._changelogs) == 1 else ""

    def digest(self) -> str:
        lines = [f"{digest}  {path}\n" for path, digest in sorted(self._digests.items())]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class _ForwardBytes(io.BytesIO):
    """Bytes in which the ar index can only be walked forwards, and not for ever."""

    _steps = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == 1:
            self._steps += 1
            if offset < 0 or self._steps > _MAX_AR_MEMBERS:
                raise OSError("not an ar index")
        return super().seek(offset, whence)


class _Stream(Protocol):
    """What the decompressors have in common."""

    def read(self, size: int = -1, /) -> bytes: ...


class _Bounded(io.RawIOBase):
    """A decompressed stream that ends in BinaryError past MAX_UNPACKED bytes."""

    def __init__(self, stream: _Stream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._left = MAX_UNPACKED

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= MAX_IMAGE:
            raise BinaryError(f"{self._name} holds a member larger than Hotmend reads")
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise BinaryError(f"{self._name} unpacks to over {MAX_UNPACKED >> 30} GiB; refused")
        return data


def _parts(data: bytes, name: str) -> dict[str, ArMember]:
    """The members control and data."""
    try:
        members = ArFile(fileobj=_ForwardBytes(data)).getmembers()
    except (ArError, OSError, ValueError):
        raise BinaryError(
            f"{name} is truncated or damaged: its ar index cannot be read; fetch it again"
        ) from None
    if not members or members[0].name != "debian-binary":
        raise BinaryError(f"{name} is not a Debian package (an ar archive without debian-binary)")
    parts: dict[str, ArMember] = {}
    for member in members:
        found = _DEB_FILE.match(str(member.name))
        if found:
            parts[found[1]] = member
        elif str(member.name).startswith(("data.tar", "control.tar")):
            raise BinaryError(f"{name}: the compression of {member.name} is not supported")
    for part in ("control", "data"):
        if part not in parts:
            raise BinaryError(f"{name} is truncated: it has no {part}.tar; fetch it again")
    return parts


@contextmanager
def _tar(member: ArMember, name: str) -> Iterator[tarfile.TarFile]:
    """The member as a tar stream that is read once, forwards."""
    packed = io.BytesIO(member.read())
    if len(packed.getbuffer()) != member.size:
        raise BinaryError(f"{name} is truncated: {member.name} lacks its end; fetch it again")
    try:
        with (
            _decompressed(packed, str(member.name), name) as plain,
            # "r|" reads forwards only: seeking back would decompress again from the start.
            tarfile.open(fileobj=_Bounded(plain, name), mode="r|") as tar,
        ):
            yield tar
    except _DAMAGE as error:
        raise BinaryError(
            f"{name} is damaged: {member.name} cannot be unpacked ({error}); fetch it again"
        ) from None


@contextmanager
def _decompressed(packed: IO[bytes], member: str, name: str) -> Iterator[_Stream]:
    match PurePosixPath(member).suffix:
        case ".tar":
            yield packed
        case ".gz":
            with gzip.GzipFile(fileobj=packed) as plain:
                yield plain
        case ".bz2":
            with bz2.BZ2File(packed) as plain:
                yield plain
        case ".zst":
            with _zstd(packed, member, name) as plain:
                yield plain
        case _:
            with lzma.LZMAFile(packed) as plain:
                yield plain


@contextmanager
def _zstd(packed: IO[bytes], member: str, name: str) -> Iterator[IO[bytes]]:
    """Through the unzstd program, as python-debian does it: Python 3.11 has no zstd."""
    program = shutil.which("unzstd")
    if program is None:
        raise BinaryError(
            f"{name}: {member} is compressed with zstd, which needs the unzstd program; "
            "install the package zstd"
        )
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(packed, file)
        file.seek(0)
        command = [program, "--stdout", "--quiet"]
        with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.kill()


def _members(tar: tarfile.TarFile, name: str) -> Iterator[tarfile.TarInfo]:
    for count, member in enumerate(tar):
        if count >= MAX_MEMBERS:
            raise BinaryError(f"{name} holds over {MAX_MEMBERS:,} files; refused")
        yield member


def _control(member: ArMember, name: str) -> Deb822:
    with _tar(member, name) as tar:
        for entry in _members(tar, name):
            if str(entry.name).removeprefix("./") == "control" and entry.isreg():
                content = tar.extractfile(entry)
                if content is not None and entry.size <= 1 << 20:
                    return Deb822(content.read().decode("utf-8", "replace"))
    raise BinaryError(f"{name} is damaged: it has no control file; fetch it again")


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below ``folder``, sorted, symbolic links not followed."""
    count = 0
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            count += 1
            if count > MAX_MEMBERS:
                raise BinaryError(f"{folder.name} holds over {MAX_MEMBERS:,} files; refused")
            if path.is_file() and not path.is_symlink():
                yield path


def _gunzip(raw: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
            return stream.read(MAX_CHANGELOG)
    except (EOFError, OSError, zlib.error):
        # The advisories are then unknown; the images are still good.
        return b""


def _source(field: str, package: str, version: str) -> tuple[str, str]:
    """(name, version) of the source package: "glibc" or "gcc-12 (12.2.0-14)" or nothing."""
    name, _, rest = field.partition(" ")
    return name or package, rest.strip("() ") or version


def _newest(changelog: str | None) -> tuple[str, str]:
    if not changelog:
        return "", ""
    try:
        newest = Changelog(changelog, max_blocks=1)
        return newest.package or "", str(newest.version)
    except (ChangelogParseError, IndexError, ValueError):
        return "", ""


def _wrong_machine(name: str, machine: str) -> str:
    return f"{name} is for {machine}; Hotmend patches 64-bit x86 (amd64) only"

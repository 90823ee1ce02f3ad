"""A bundle: the images of one release, and which image of OLD became which of NEW.

Everything here takes values and returns values; :mod:`hotmend.binary.deb` reads bundles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from debian.debian_support import Version

from hotmend.binary.errors import BinaryError, NoCode
from hotmend.model.build_id import BuildId


@dataclass(frozen=True)
class BundleImage:
    """One ELF file of a bundle.

    ``path``: within the package, without a leading slash ("usr/lib/x86_64-linux-gnu/libz.so.1");
    the file's name for a lone file. ``soname``: "" where there is none. ``build_id``: None where
    there is none.
    """

    path: str
    soname: str
    build_id: BuildId | None
    data: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The soname, or the file's name for a program or plug-in."""
        return self.soname or PurePosixPath(self.path).name


@dataclass(frozen=True)
class Bundle:
    """What a .deb, a folder or a lone ELF file holds.

    ``label``: the input's own file name. ``package``, ``version``, ``source`` and
    ``source_version`` are "" where the input does not say. ``changelog``: text of
    changelog.Debian.gz, None where there is none. ``sha256``: of the input's bytes; of a folder,
    over the sorted lines "sha256  path" of the files used. ``images``: sorted by path.
    """

    label: str
    package: str
    architecture: str
    version: str
    source: str
    source_version: str
    images: tuple[BundleImage, ...]
    changelog: str | None = field(repr=False)
    sha256: str
    lone: bool = False

    @property
    def title(self) -> str:
        """For people: "libssl3 3.0.17-1~deb12u2", or the input's name."""
        return f"{self.package} {self.version}".strip() if self.package else self.label


@dataclass(frozen=True)
class Pairing:
    """``changed`` and ``unchanged``: (old, new) in path order; unchanged means the same build-id
    (or, without build-ids, the same bytes). ``only_old``, ``only_new``: without a counterpart."""

    changed: tuple[tuple[BundleImage, BundleImage], ...]
    unchanged: tuple[tuple[BundleImage, BundleImage], ...]
    only_old: tuple[BundleImage, ...]
    only_new: tuple[BundleImage, ...]


def pair(old: Bundle, new: Bundle) -> Pairing:
    """Pair the images of two releases: by path, then by soname, then a lone file with a lone file.

    Raises BinaryError: different packages or architectures, OLD newer than NEW, the same build
    twice, nothing in common.
    """
    _check_same_package(old, new)
    _check_order(old, new)
    pairs, only_old, only_new = _match(old, new)
    if not pairs:
        raise NoCode(
            f"OLD ({old.title}) and NEW ({new.title}) have no image in common: "
            f"{_names(old.images)} against {_names(new.images)}; give two builds of one package"
        )
    unchanged = tuple(p for p in pairs if _same_build(*p))
    if len(unchanged) == len(pairs) and not only_old and not only_new:
        raise NoCode(
            f"OLD ({old.title}) and NEW ({new.title}) are the same build twice: every image has "
            "the same build-id; give the older and the newer release"
        )
    changed = tuple(p for p in pairs if not _same_build(*p))
    return Pairing(changed, unchanged, tuple(only_old), tuple(only_new))


def _check_same_package(old: Bundle, new: Bundle) -> None:
    for what, ours, theirs in (
        ("packages", old.package, new.package),
        ("architectures", old.architecture, new.architecture),
    ):
        if ours and theirs and ours != theirs:
            raise BinaryError(
                f"OLD and NEW are different {what}: {ours} and {theirs}; "
                "give two builds of one package"
            )


def _check_order(old: Bundle, new: Bundle) -> None:
    if not old.version or not new.version:
        return
    try:
        swapped = Version(old.version) > Version(new.version)
    except ValueError as error:
        raise BinaryError(f"a package has an invalid version: {error}") from None
    if swapped:
        raise BinaryError(
            f"OLD and NEW are swapped: {old.version} is newer than {new.version}; "
            "give the older build first"
        )


_Pairs = list[tuple[BundleImage, BundleImage]]


def _match(old: Bundle, new: Bundle) -> tuple[_Pairs, list[BundleImage], list[BundleImage]]:
    pairs: _Pairs = []
    left, right = list(old.images), list(new.images)
    by_place: tuple[Callable[[BundleImage], str], ...] = (
        _place,
        lambda image: image.soname and f"{PurePosixPath(_place(image)).parent}/{image.soname}",
        lambda image: image.soname,
    )
    for key in by_place:
        theirs = _unique(right, key)
        for place, ours in _unique(left, key).items():
            other = theirs.get(place)
            if other is not None and ours.soname == other.soname:
                pairs.append((ours, other))
                left.remove(ours)
                right.remove(other)
    if old.lone and new.lone and left and right and not (left[0].soname or right[0].soname):
        # Two files that somebody named as the two builds of one program.
        pairs.append((left.pop(), right.pop()))
    pairs.sort(key=lambda both: both[0].path)
    return pairs, left, right


def _unique(images: list[BundleImage], key: Callable[[BundleImage], str]) -> dict[str, BundleImage]:
    found: dict[str, BundleImage] = {}
    twice = set()
    for image in images:
        place = key(image)
        if place in found:
            twice.add(place)
        found[place] = image
    return {place: image for place, image in found.items() if place and place not in twice}


def _place(image: BundleImage) -> str:
    """The path with Debian's merged /usr undone, so that lib/x and usr/lib/x are one place."""
    return image.path.removeprefix("usr/")


def _same_build(old: BundleImage, new: BundleImage) -> bool:
    if old.build_id is None or new.build_id is None:
        return old.data == new.data
    return old.build_id == new.build_id


def _names(images: tuple[BundleImage, ...]) -> str:
    names = [image.name for image in images[:4]]
    return ", ".join(names) + (" …" if len(images) > len(names) else "")

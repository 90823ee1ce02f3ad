from __future__ import annotations

from dataclasses import replace

import pytest

from hotmend.binary.bundle import Bundle, BundleImage, pair
from hotmend.binary.deb import load_bundle
from hotmend.binary.errors import BinaryError
from hotmend.model.build_id import BuildId
from real_packages import CURL, EXPAT, HAPROXY, LIBC, NGINX, SSL_17_20, SSL_20_22, XML2, real


def image(path: str, build: int, soname: str = "") -> BundleImage:
    return BundleImage(path, soname, BuildId(f"{build:040x}"), b"")


def bundle(
    *images: BundleImage, version: str = "", package: str = "", lone: bool = False
) -> Bundle:
    return Bundle("input", package, "amd64", version, "", "", images, None, "0" * 64, lone)


@pytest.mark.parametrize(
    ("names", "changed", "unchanged"),
    [
        (XML2, ["libxml2.so.2"], 0),
        (NGINX, ["nginx"], 0),
        (CURL, ["libcurl.so.4"], 0),
        (EXPAT, ["libexpat.so.1", "libexpatw.so.1"], 0),
        (HAPROXY, ["haproxy"], 2),
        (
            SSL_17_20,
            [
                "afalg.so",
                "loader_attic.so",
                "padlock.so",
                "libcrypto.so.3",
                "libssl.so.3",
                "legacy.so",
            ],
            0,
        ),
    ],
)
def test_real_releases_pair_image_by_image(
    names: tuple[str, str], changed: list[str], unchanged: int
) -> None:
    pairing = pair(load_bundle(real(names[0])), load_bundle(real(names[1])))
    assert [old.name for old, _ in pairing.changed] == changed
    assert [old.name for old, _ in pairing.changed] == [new.name for _, new in pairing.changed]
    assert len(pairing.unchanged) == unchanged
    assert not pairing.only_old
    assert not pairing.only_new


def test_an_image_with_the_same_build_id_in_both_releases_is_unchanged() -> None:
    pairing = pair(load_bundle(real(SSL_20_22[0])), load_bundle(real(SSL_20_22[1])))
    assert {"afalg.so", "padlock.so"} == {old.name for old, _ in pairing.unchanged}


def test_all_images_of_libc_find_their_counterpart() -> None:
    old, new = load_bundle(real(LIBC[0])), load_bundle(real(LIBC[1]))
    pairing = pair(old, new)
    assert len(pairing.changed) + len(pairing.unchanged) == len(old.images)
    assert all(a.path == b.path for a, b in pairing.changed)


def test_swapped_releases_are_refused_and_the_right_order_is_not() -> None:
    old, new = load_bundle(real(XML2[0])), load_bundle(real(XML2[1]))
    with pytest.raises(BinaryError, match="swapped"):
        pair(new, old)
    assert pair(old, new).changed


def test_the_order_of_versions_is_debians() -> None:
    old, new = (bundle(image("l.so", n), version=v) for n, v in ((1, "1.0~rc1"), (2, "1.0")))
    assert pair(old, new).changed
    with pytest.raises(BinaryError, match="swapped"):
        pair(new, old)


def test_an_unknown_version_leaves_the_order_to_the_caller() -> None:
    old, new = bundle(image("l.so", 1), version="2.0"), bundle(image("l.so", 2))
    assert pair(old, new).changed
    assert pair(new, old).changed


def test_the_same_build_twice_is_refused_also_under_two_versions() -> None:
    same = load_bundle(real(XML2[0]))
    for newer in (same, replace(same, version="9:9")):
        with pytest.raises(BinaryError, match="same build twice"):
            pair(same, newer)


def test_two_different_packages_are_refused() -> None:
    with pytest.raises(BinaryError, match="different packages: libxml2 and nginx"):
        pair(load_bundle(real(XML2[0])), load_bundle(real(NGINX[1])))


def test_a_versioned_file_name_may_change_under_the_same_soname() -> None:
    old = bundle(image("usr/lib/libcurl.so.4.8.0", 1, "libcurl.so.4"))
    new = bundle(image("usr/lib/libcurl.so.4.9.0", 2, "libcurl.so.4"))
    assert [(a.path[-5:], b.path[-5:]) for a, b in pair(old, new).changed] == [("4.8.0", "4.9.0")]


def test_the_same_path_with_another_soname_is_not_a_pair() -> None:
    old = bundle(image("usr/lib/libx.so", 1, "libx.so.1"), image("bin/p", 3))
    new = bundle(image("usr/lib/libx.so", 2, "libx.so.2"), image("bin/p", 4))
    pairing = pair(old, new)
    assert [a.path for a, _ in pairing.changed] == ["bin/p"]
    assert [i.soname for i in pairing.only_old] == ["libx.so.1"]
    assert [i.soname for i in pairing.only_new] == ["libx.so.2"]


def test_variants_of_one_soname_pair_by_their_folder() -> None:
    def release(first: int) -> Bundle:
        return bundle(
            image(f"usr/lib/libx.so.1.{first}", first, "libx.so.1"),
            image(f"usr/lib/v3/libx.so.1.{first}", first + 1, "libx.so.1"),
        )

    pairing = pair(release(10), release(20))
    folders = [(a.path.rpartition("/")[0], b.path.rpartition("/")[0]) for a, b in pairing.changed]
    assert folders == [("usr/lib", "usr/lib"), ("usr/lib/v3", "usr/lib/v3")]


def test_a_file_that_moved_with_merged_usr_keeps_its_counterpart() -> None:
    old, new = bundle(image("lib/p", 1), image("bin/q", 1)), bundle(image("usr/lib/p", 2))
    assert [(a.path, b.path) for a, b in pair(old, new).changed] == [("lib/p", "usr/lib/p")]


def test_two_lone_programs_pair_whatever_their_names() -> None:
    old, new = bundle(image("nginx.old", 1), lone=True), bundle(image("nginx.new", 2), lone=True)
    assert pair(old, new).changed
    with pytest.raises(BinaryError, match="no image in common"):
        pair(replace(old, lone=False), replace(new, lone=False))


def test_two_lone_libraries_of_different_sonames_are_refused() -> None:
    old = bundle(image("a.so", 1, "libssl.so.3"), lone=True)
    new = bundle(image("b.so", 2, "libcrypto.so.3"), lone=True)
    with pytest.raises(BinaryError, match=r"libssl\.so\.3 against libcrypto\.so\.3"):
        pair(old, new)

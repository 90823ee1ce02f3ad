"""The Merkle tree against RFC 9162's definition, Certificate Transparency's test vectors, and
everything that is not a proof."""

from __future__ import annotations

import hashlib
import random
from functools import cache

import pytest

from hotmend.model import merkle
from hotmend.model.merkle import appended, consistency, inclusion, is_consistent, is_included

# From certificate-transparency's merkle_tree_test: inputs, and the root after each.
INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
MOST = 40


@cache
def leaf(number: int) -> bytes:
    return merkle.leaf_hash(f"entry {number}".encode())


@cache
def defined(begin: int, end: int) -> bytes:
    """MTH, as the RFC writes it down."""
    if end - begin == 0:
        return hashlib.sha256(b"").digest()
    if end - begin == 1:
        return leaf(begin)
    k = 1
    while k * 2 < end - begin:
        k *= 2
    return hashlib.sha256(b"\1" + defined(begin, begin + k) + defined(begin + k, end)).digest()


def node(level: int, index: int) -> bytes:
    return defined(index << level, (index + 1) << level)


def test_the_known_vectors() -> None:
    peaks: tuple[bytes, ...] = ()
    assert merkle.root_of(peaks) == merkle.EMPTY
    for size, (entry, root) in enumerate(zip(INPUTS, ROOTS, strict=True)):
        peaks, _ = appended(size, peaks, merkle.leaf_hash(bytes.fromhex(entry)))
        assert merkle.root_of(peaks).hex() == root


def test_known_proofs() -> None:
    """PATH and PROOF of the RFC's own example (§2.1.5): a tree of seven, its subtrees by name."""
    a, b, c, d, e, f, j = (leaf(n) for n in range(7))
    assert (e, f) == (leaf(4), leaf(5))
    g, h, i = defined(0, 2), defined(2, 4), defined(4, 6)
    k, l = defined(0, 4), defined(4, 7)  # noqa: E741 the RFC's letters
    assert inclusion(node, 0, 7) == [b, h, l]
    assert inclusion(node, 3, 7) == [c, g, l]
    assert inclusion(node, 4, 7) == [f, j, k]
    assert inclusion(node, 6, 7) == [i, k]
    assert consistency(node, 3, 7) == [c, d, g, l]
    assert consistency(node, 4, 7) == [l]
    assert consistency(node, 6, 7) == [i, j, k]
    assert a == leaf(0)


def test_appending_is_the_definition_and_hands_over_every_full_subtree() -> None:
    peaks: tuple[bytes, ...] = ()
    kept: dict[tuple[int, int], bytes] = {}
    for size in range(200):
        peaks, made = appended(size, peaks, leaf(size))
        assert merkle.root_of(peaks) == defined(0, size + 1)
        for level, index, root in made:
            assert root == node(level, index)
            kept[level, index] = root
    assert set(kept) == {(lv, n) for lv in range(1, 8) for n in range(200 >> lv)}


def test_every_proof_holds_and_no_part_of_it_may_differ() -> None:
    for size in range(1, MOST):
        root = defined(0, size)
        for index in range(size):
            proof = inclusion(node, index, size)
            assert is_included(leaf(index), index, size, proof, root)
            for wrong in damaged(proof):
                assert not is_included(leaf(index), index, size, wrong, root)
            assert not is_included(leaf(index + 1), index, size, proof, root)
            assert not is_included(leaf(index), index, size, proof, leaf(0) + b"x")
            assert not any(
                is_included(leaf(index), other, size, proof, root)
                for other in range(-1, size + 1)
                if other != index
            )
        for first in range(size + 1):
            old = defined(0, first)
            proof = consistency(node, first, size) if first else []
            assert is_consistent(first, old, size, root, proof)
            for wrong in damaged(proof):
                assert not is_consistent(first, old, size, root, wrong)
            assert not is_consistent(first, leaf(99), size, root, proof)
            if first:
                assert not is_consistent(first, old, size, leaf(99), proof)


def damaged(proof: list[bytes]) -> list[list[bytes]]:
    """Longer, shorter, and with a bit turned."""
    made = [[*proof, leaf(99)], [leaf(99), *proof]]
    if proof:
        made += [proof[:-1], proof[1:]]
    for at, step in enumerate(proof):
        made.append([*proof[:at], bytes([step[0] ^ 1]) + step[1:], *proof[at + 1 :]])
    return made


@pytest.mark.parametrize("first", [3, 5, 8, 16])
def test_a_history_that_forks_has_no_proof(first: int) -> None:
    """One entry of the old ones is another: no proof of the new tree fits the old root."""

    @cache
    def forked(level: int, index: int) -> bytes:
        if level == 0:
            return merkle.leaf_hash(b"rewritten") if index == first - 1 else leaf(index)
        return merkle.node_hash(forked(level - 1, 2 * index), forked(level - 1, 2 * index + 1))

    peaks: tuple[bytes, ...] = ()
    for size in range(20):
        peaks, _ = appended(size, peaks, forked(0, size))
    root = merkle.root_of(peaks)
    proof = consistency(forked, first, 20)
    assert not is_consistent(first, defined(0, first), 20, root, proof)
    assert is_consistent(
        first - 1, defined(0, first - 1), 20, root, consistency(forked, first - 1, 20)
    )


def test_random_proofs_are_none() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(2000):
        first, second = sorted(chance.sample(range(1, 100), 2))
        proof = [chance.randbytes(32) for _ in range(chance.randrange(8))]
        assert not is_consistent(first, defined(0, first), second, defined(0, second), proof)

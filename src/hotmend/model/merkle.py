"""The Merkle tree of RFC 9162 §2.1: who remembers a root can be shown that a log only grew.

Entries are hashed with SHA-256; a log's tree is kept as its *peaks*, the roots of the full subtrees
that it consists of, from the largest to the smallest. Proofs need the roots of full subtrees
further inside, which their keeper hands over: ``node(level, index)`` is that of the 2**level leaves
from index * 2**level on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

Node = Callable[[int, int], bytes]

EMPTY = hashlib.sha256(b"").digest()
HASH_BYTES = 32


def leaf_hash(entry: bytes) -> bytes:
    """Of one entry."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def appended(
    size: int, peaks: Sequence[bytes], leaf: bytes
) -> tuple[tuple[bytes, ...], list[tuple[int, int, bytes]]]:
    """The peaks of a tree of ``size`` leaves with one leaf more, and the full subtrees that this
    completes, as (level, index, root); the leaf itself is not among them."""
    left, made, root, level = list(peaks), [], leaf, 0
    while size >> level & 1:
        root, level = node_hash(left.pop(), root), level + 1
        made.append((level, size >> level, root))
    return (*left, root), made


def root_of(peaks: Sequence[bytes]) -> bytes:
    """Of the whole tree."""
    if not peaks:
        return EMPTY
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def inclusion(node: Node, index: int, size: int) -> list[bytes]:
    """PATH of §2.1.3.1: that the tree of the first ``size`` leaves has leaf ``index``, from 0."""
    return _path(node, index, 0, size)


def consistency(node: Node, first: int, second: int) -> list[bytes]:
    """PROOF of §2.1.4.1: that the tree of ``second`` leaves begins with that of ``first``, which is
    not 0."""
    return _subproof(node, first, 0, second, whole=True) if first < second else []


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """§2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn, found = index, size - 1, leaf
    for step in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(step, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def is_consistent(
    first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """§2.1.4.2. Every tree begins with the empty one; and with itself."""
    if first == 0:
        return first_root == EMPTY and not proof
    if first == second:
        return first_root == second_root and not proof
    if not 0 < first < second or not proof:
        return False
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for step in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(step, old), node_hash(step, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == first_root and new == second_root


def _subtree(node: Node, begin: int, size: int) -> bytes:
    """Root of ``size`` leaves from ``begin`` on, where the tree has such a subtree."""
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, begin >> level)
    left = _split(size)
    return node_hash(_subtree(node, begin, left), _subtree(node, begin + left, size - left))


def _path(node: Node, index: int, begin: int, size: int) -> list[bytes]:
    if size == 1:
        return []
    left = _split(size)
    if index < left:
        other = _subtree(node, begin + left, size - left)
        return [*_path(node, index, begin, left), other]
    other = _subtree(node, begin, left)
    return [*_path(node, index - left, begin + left, size - left), other]


def _subproof(node: Node, first: int, begin: int, size: int, *, whole: bool) -> list[bytes]:
    """``whole``: the verifier has the root of what is left of ``first``."""
    if first == size:
        return [] if whole else [_subtree(node, begin, size)]
    left = _split(size)
    if first <= left:
        rest = _subtree(node, begin + left, size - left)
        return [*_subproof(node, first, begin, left, whole=whole), rest]
    known = _subtree(node, begin, left)
    return [*_subproof(node, first - left, begin + left, size - left, whole=False), known]


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1

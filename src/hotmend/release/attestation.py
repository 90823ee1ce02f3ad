"""What was shown of a hotpatch before it was published: an in-toto statement inside the package.

The predicate is in-toto's test-result v0.1. Its subject is the package as it is without statements,
so that it can be checked: take them out, encode again, compare the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from google.protobuf.json_format import MessageToDict, Parse, ParseError
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

from hotmend.hotpatch.codec import encode
from hotmend.hotpatch.hotpatch import Hotpatch

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
PASSED, FAILED = "PASSED", "FAILED"


@dataclass(frozen=True)
class Shown:
    """One thing that was shown, or not: ``name`` such as "CVE-2026-15176" or "workload smoke.py";
    ``sha256``: of the script; ``saw``: what it said."""

    name: str
    passed: bool
    sha256: str
    saw: str


def attested(hotpatch: Hotpatch, tests: Sequence[Shown]) -> Hotpatch:
    """The hotpatch with a statement about it."""
    plain = replace(hotpatch, attestations=())
    digest = hashlib.sha256(encode(plain)).hexdigest()
    name = f"{hotpatch.package} {hotpatch.old_version} -> {hotpatch.new_version}"
    subject = ResourceDescriptor(name=name, digest={"sha256": digest})
    predicate = {
        "result": PASSED if tests and all(test.passed for test in tests) else FAILED,
        "configuration": [{"name": t.name, "digest": {"sha256": t.sha256}} for t in tests],
        "passedTests": [test.name for test in tests if test.passed],
        "failedTests": [test.name for test in tests if not test.passed],
        "annotations": {test.name: test.saw for test in tests},
    }
    statement = Statement([subject.pb], TEST_RESULT, predicate)
    statement.validate()
    text = json.dumps(MessageToDict(statement.pb), sort_keys=True, separators=(",", ":"))
    return replace(plain, attestations=(text,))


def proven(hotpatch: Hotpatch) -> str:
    """ "" when a valid statement inside says that everything passed; else why it is unproven."""
    if not hotpatch.attestations:
        return "it carries no statement of what was shown; hotmend release prove"
    digest = hashlib.sha256(encode(replace(hotpatch, attestations=()))).hexdigest()
    for text in hotpatch.attestations:
        try:
            message = Parse(text, StatementMessage())
            statement = Statement.copy_from_pb(message)
            statement.validate()
        except (ParseError, ValueError) as error:
            return f"its statement cannot be read: {error}"
        content = MessageToDict(statement.pb)
        subjects = [subject.get("digest", {}).get("sha256") for subject in content["subject"]]
        if digest not in subjects:
            return "its statement is about another package"
        if content["predicateType"] == TEST_RESULT and content["predicate"]["result"] == PASSED:
            return ""
    return "what was tried of it did not all pass"

"""The tables. Times are seconds since the epoch, UTC; ids that people write are kept as written
and found by their lower-case ``key``, as Azure's are."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

# Everything that Azure's clients know by a resource id: groups, machines, sets, networks.
resources = Table(
    "resources",
    metadata,
    Column("key", String(1024), primary_key=True),
    Column("id", String(1024), nullable=False),
    Column("type", String(128), nullable=False),  # lower case, "microsoft.compute/virtualmachines"
    Column("subscription", String(64), nullable=False),  # lower case
    Column("group", String(128), nullable=False),  # lower case
    Column("body", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Index("resources_of_a_type", "subscription", "type"),
)

# Machines with an agent. ``heard``: the number of the last report that was accepted.
machines = Table(
    "machines",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("resource", String(1024), nullable=False, unique=True),
    Column("host", String(256), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("enrolled", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Column("heard", BigInteger, nullable=False),
)

# One-time codes. Only the digest is kept.
codes = Table(
    "codes",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("resource", String(1024), nullable=False),
    Column("location", String(64), nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float),
)

# Assessments, installations and restarts: asked for (an order that waits for its machine), or
# begun by the machine itself; then what came of them. ``status``: Azure's word.
runs = Table(
    "runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("machine", String(36), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("started_by", String(16), nullable=False),
    Column("location", String(64), nullable=False),
    Column("request", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("sent", Float),
    Column("finished", Float),
    Column("status", String(32), nullable=False),
    Column("result", JSON),
    Index("runs_of_a_machine", "machine", "kind", "created"),
    Index("runs_that_wait", "finished", "sent"),
)

# Which machines a maintenance configuration is for: one (``target``), or those that a filter of the
# body finds in a group or subscription (``target`` ""). All are lower-case keys.
maintenance_assignments = Table(
    "maintenance_assignments",
    metadata,
    Column("key", String(1024), primary_key=True),
    Column("id", String(1024), nullable=False),
    Column("configuration", String(1024), nullable=False),
    Column("target", String(1024), nullable=False),
    Column("subscription", String(64), nullable=False),
    Column("group", String(128), nullable=False),
    Column("body", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Index("assignments_of_a_configuration", "configuration"),
    Index("assignments_of_a_target", "target"),
)

# Maintenance that somebody asked for at once (``run``), and occurrences of a schedule that somebody
# cancelled (``occurrence``, yyyyMMddHHmm00 by the schedule's clock).
apply_updates = Table(
    "apply_updates",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("resource", String(1024), nullable=False),  # key: a machine, or a configuration
    Column("configuration", String(1024), nullable=False),
    Column("run", String(36), nullable=False),
    Column("occurrence", String(14), nullable=False),
    Column("created", Float, nullable=False),
    Index("apply_updates_of_a_resource", "resource", "created"),
)

# Service principals, and people with a password.
principals = Table(
    "principals",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(256), nullable=False, unique=True),
    Column("person", Boolean, nullable=False),
    Column("secret", String(256), nullable=False),
    Column("created", Float, nullable=False),
)

# Who may do what, where: ``scope`` is the lower-case beginning of a resource id, "/" for all.
assignments = Table(
    "assignments",
    metadata,
    Column("principal", String(36), ForeignKey("principals.id"), primary_key=True),
    Column("scope", String(1024), primary_key=True),
    Column("role", String(16), primary_key=True),
)

# Every change of state, chained: ``digest`` covers the row and the digest before it.
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("time", Float, nullable=False),
    Column("who", String(256), nullable=False),
    Column("what", String(128), nullable=False),
    Column("subject", String(1024), nullable=False),
    Column("details", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
)

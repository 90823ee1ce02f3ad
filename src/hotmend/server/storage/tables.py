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
    LargeBinary,
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
    Index("resources_of_a_type", "subscription", "type", "key"),
)

# Machines with an agent. ``heard``: the number of the last report that was accepted. Where a
# machine stands and what may be done to it unasked is copied from its resource, so that one
# statement can ask it of all. ``health``: its own word, of ``health_at``; "" before it has spoken;
# ``bad_at``: when it was last heard that something was wrong.
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
    Column("owner", String(64), nullable=False),  # its subscription, lower case
    Column("region", String(64), nullable=False),
    Column("zone", String(8), nullable=False),
    Column("group", String(1024), nullable=False),
    Column("domain", Integer, nullable=False),
    Column("time_zone", String(64), nullable=False),  # IANA's name
    Column("automatic", Boolean, nullable=False),
    Column("canary", Boolean, nullable=False),
    Column("reboot", String(16), nullable=False),  # "" where its owner set nothing
    Column("health", String(16), nullable=False),
    Column("health_at", Float, nullable=False),
    Column("bad_at", Float, nullable=False),
    Column("bad_because", String(512), nullable=False),
    Index("machines_of_a_group", "group"),
    Index("machines_in_a_time_zone", "time_zone"),
)

# Machines of which only few may be away at once: availability sets, and those outside any.
# ``held``: turns of all rollouts that use up the ``budget``, which are all in ``domain``.
groups = Table(
    "groups",
    metadata,
    Column("key", String(1024), primary_key=True),
    Column("region", String(64), nullable=False),
    Column("zone", String(8), nullable=False),
    Column("size", Integer, nullable=False),
    Column("budget", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("domain", Integer),
)
Index(
    "groups_with_room",
    groups.c.region,
    groups.c.zone,
    groups.c.key,
    sqlite_where=groups.c.held < groups.c.budget,
    postgresql_where=groups.c.held < groups.c.budget,
)

# One row: when the rollouts were last looked at, by whichever replica, and since when somebody has
# listened to the agents without a break.
keeper = Table(
    "keeper",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ticked", Float, nullable=False),
    Column("listening_since", Float, nullable=False),
)

# A release, or one occurrence of a schedule, on its way to its machines. ``opens``, ``closes``: of
# a schedule's occurrence; a release goes by each machine's own window.
rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(256), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("because", String(1024), nullable=False),
    Column("created", Float, nullable=False),
    Column("ended", Float),
    Column("phase", Integer, nullable=False),
    Column("phase_began", Float, nullable=False),
    Column("last_phase", Integer, nullable=False),
    Column("phases", JSON, nullable=False),
    Column("size", Integer, nullable=False),
    Column("order", JSON, nullable=False),  # the template of what its machines are told
    Column("settings", JSON, nullable=False),
    Column("frozen", JSON, nullable=False),  # owners whose part has halted
    Column("warned", String(1024), nullable=False),
    Column("opens", Float),
    Column("closes", Float),
    Column("configuration", String(1024), nullable=False),  # key of a schedule's, "" for a release
    Column("occurrence", String(14), nullable=False),  # yyyyMMddHHmm00 by the schedule's clock
    Column("windows_order", JSON),  # what machines with Windows are told, where it is another
    Column("month", String(7), nullable=False),  # of a release
)

# All that admission has to know of a turn: it reads the index alone.
_IN_ORDER = (
    *("rollout", "group", "state", "phase", "domain", "machine", "time_zone", "owner", "attempts"),
)

# One machine's place in one rollout.
turns = Table(
    "turns",
    metadata,
    Column("rollout", String(36), ForeignKey("rollouts.id"), primary_key=True),
    Column("machine", String(36), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("phase", Integer, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("region", String(64), nullable=False),
    Column("zone", String(8), nullable=False),
    Column("group", String(1024), nullable=False),
    Column("domain", Integer, nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("run", String(36)),
    Column("started", Float),
    Column("until", Float),  # its machine must have begun by then
    Column("installed", Float),
    Column("ended", Float),
    Column("reverted", Float),  # when its machine was told to take out what it got
    Column("failure", String(16), nullable=False),  # "" or which kind
    Column("because", String(512), nullable=False),
    Column("pardoned", Boolean, nullable=False),  # a person saw the failure, and went on
    Index("turns_in_order", *_IN_ORDER),
    Index("turns_by_state", "rollout", "state", "phase", "owner", "region", "zone", "machine"),
    Index("turns_of_a_machine", "machine", "state"),
    Index("turns_of_a_group", "group", "state", "domain"),
    Index("turns_by_success", "rollout", "installed"),
)

# How many turns there are, 0 among them. Triggers on turns keep it; nobody else writes it.
turn_counts = Table(
    "turn_counts",
    metadata,
    Column("rollout", String(36), primary_key=True),
    Column("phase", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(64), primary_key=True),
    Column("state", String(16), primary_key=True),
    Column("count", Integer, nullable=False),
)

# How a machine with an agent says it is, the last time it said so; ``told``: when we heard it.
health = Table(
    "health",
    metadata,
    Column("machine", String(36), primary_key=True),
    Column("told", Float, nullable=False),
    Column("content", JSON, nullable=False),
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
    Index("runs_by_time", "created", "id"),
)

# What the last assessment of each machine found, counted. Processes: *live* run the fixed code in
# memory, *waiting* old code for which there is a hotpatch, *restart* old code that only a restart
# ends, *unexamined* could not be looked at.
compliance = Table(
    "compliance",
    metadata,
    Column("machine", String(36), primary_key=True),
    Column("assessed", Float, nullable=False),
    Column("urgent", Integer, nullable=False),  # patches of Critical and Security
    Column("others", Integer, nullable=False),
    Column("live", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("restart", Integer, nullable=False),
    Column("unexamined", Integer, nullable=False),
    Column("reboot", Boolean, nullable=False),  # the machine itself waits for one
    Column("unread", Integer, nullable=False),  # releases that it could not read whole
)

# The patches that it found missing.
missing = Table(
    "missing",
    metadata,
    Column("machine", String(36), primary_key=True),
    Column("article", String(256), primary_key=True),
    Column("name", String(512), nullable=False),
    Column("classification", String(32), nullable=False),
    Column("hotpatch", Boolean, nullable=False),
    Column("outdated", Integer, nullable=False),  # processes that run the old code
    Index("missing_by_article", "article", "classification", "hotpatch", "outdated", "machine"),
)

# Machines as people list, search and count them, with an agent (``machine``) or without: copied
# from what is wide, so that a page reads what is narrow. ``state`` and ``updates``: as they were
# when it was last looked at (``arm/listing.py``); numbers: of processes, 0 where nothing is known.
listing = Table(
    "listing",
    metadata,
    Column("key", String(1024), primary_key=True),  # of its resource
    Column("type", String(128), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("machine", String(36)),
    Column("words", String(520), nullable=False),  # name, group and host, lower case: searched
    Column("region", String(64), nullable=False),
    Column("zone", String(8), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("os", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("updates", String(16), nullable=False),
    Column("hotpatch", String(32), nullable=False),
    Column("vulnerable", Integer, nullable=False),
    Column("restart", Integer, nullable=False),
    Column("live", Integer, nullable=False),
    Column("unexamined", Integer, nullable=False),
    sqlite_with_rowid=False,  # pages are read in the order of the keys
)
# All that is counted: the index alone is read, in the order in which it is counted.
Index(
    "listing_counted",
    *(listing.c.state, listing.c.updates, listing.c.region, listing.c.zone, listing.c.time_zone),
    *(listing.c.type, listing.c.os, listing.c.hotpatch, listing.c.owner, listing.c.machine),
    *(listing.c.vulnerable, listing.c.restart, listing.c.live, listing.c.unexamined),
    listing.c.words,
)

# How each owner's machines stood, once an hour.
exposure = Table(
    "exposure",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),  # of the epoch
    Column("owner", String(64), primary_key=True),
    Column("vulnerable", Integer, nullable=False),  # processes that run old code
    Column("live", Integer, nullable=False),  # machines, each in one state
    Column("waiting", Integer, nullable=False),
    Column("restart", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
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
    Column("elsewhere", String(512), unique=True),  # issuer and subject at an OpenID provider
    Column("generation", Integer, nullable=False),
    Column("created", Float, nullable=False),
)

# People in a browser. Only the cookie's digest is kept.
sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("principal", String(36), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("began", Float, nullable=False),
    Column("used", Float, nullable=False),
    Index("sessions_of_a_principal", "principal"),
)

# The link with which the first admin comes.
first_admin_links = Table(
    "first_admin_links",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("expires", Float, nullable=False),
)

# What somebody asked for and a second person approves.
approvals = Table(
    "approvals",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("what", String(128), nullable=False),
    Column("subject", String(1024), nullable=False),
    Column("asked_by", String(36), nullable=False),
    Column("asked", Float, nullable=False),
    Column("approved_by", String(36)),
    Index("approvals_of_a_subject", "what", "subject"),
)

# Who may do what, where: ``scope`` is the lower-case beginning of a resource id, "/" for all.
assignments = Table(
    "assignments",
    metadata,
    Column("principal", String(36), ForeignKey("principals.id"), primary_key=True),
    Column("scope", String(1024), primary_key=True),
    Column("role", String(16), primary_key=True),
)

# Settings of the whole control plane.
settings = Table(
    "settings",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("body", JSON, nullable=False),
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

# News that people are told, for each receiver (``channel``). ``due``: when it is tried next, NULL
# for never again; ``sent``: when it arrived.
outbox = Table(
    "outbox",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("channel", String(1024), primary_key=True),
    Column("event", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Float),
    Column("sent", Float),
    Column("problem", String(512), nullable=False),
    Index("outbox_that_is_due", "due"),
)

# One row: how far the audit log has been read for news, and what is to be in the next digest.
reader = Table(
    "reader",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("since", Float, nullable=False),
    Column("tally", JSON, nullable=False),
    Column("alarmed", Boolean, nullable=False),
)

# One row: how many entries the log has, the last one's digest, the peaks of its Merkle tree.
audit_head = Table(
    "audit_head",
    metadata,
    Column("size", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("peaks", LargeBinary, nullable=False),
)

# Roots of the tree's full subtrees of 2**level entries, level 1 and up.
audit_nodes = Table(
    "audit_nodes",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

# What the server signed of the log, as signed notes.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("time", Float, nullable=False),
    Column("note", String(1024), nullable=False),
)

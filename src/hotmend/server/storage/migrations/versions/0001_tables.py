"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Written out, and not taken from ``tables``: a migration says what was, for ever."""
    op.create_table(
        "resources",
        sa.Column("key", sa.String(1024), primary_key=True),
        sa.Column("id", sa.String(1024), nullable=False),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("subscription", sa.String(64), nullable=False),
        sa.Column("group", sa.String(128), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
    )
    op.create_index("resources_of_a_type", "resources", ["subscription", "type", "key"])
    op.create_table(
        "machines",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("resource", sa.String(1024), nullable=False, unique=True),
        sa.Column("host", sa.String(256), nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("simulated", sa.Boolean, nullable=False),
        sa.Column("enrolled", sa.Float, nullable=False),
        sa.Column("seen", sa.Float, nullable=False),
        sa.Column("heard", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(8), nullable=False),
        sa.Column("group", sa.String(1024), nullable=False),
        sa.Column("domain", sa.Integer, nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("automatic", sa.Boolean, nullable=False),
        sa.Column("canary", sa.Boolean, nullable=False),
        sa.Column("reboot", sa.String(16), nullable=False),
        sa.Column("health", sa.String(16), nullable=False),
        sa.Column("health_at", sa.Float, nullable=False),
        sa.Column("bad_at", sa.Float, nullable=False),
        sa.Column("bad_because", sa.String(512), nullable=False),
    )
    op.create_index("machines_of_a_group", "machines", ["group"])
    op.create_index("machines_in_a_time_zone", "machines", ["time_zone"])
    op.create_table(
        "health",
        sa.Column("machine", sa.String(36), primary_key=True),
        sa.Column("told", sa.Float, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
    )
    op.create_table(
        "groups",
        sa.Column("key", sa.String(1024), primary_key=True),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(8), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("budget", sa.Integer, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("domain", sa.Integer),
    )
    room = sa.text("held < budget")
    op.create_index(
        "groups_with_room",
        "groups",
        ["region", "zone", "key"],
        sqlite_where=room,
        postgresql_where=room,
    )
    keeper = op.create_table(
        "keeper",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ticked", sa.Float, nullable=False),
        sa.Column("listening_since", sa.Float, nullable=False),
    )
    op.bulk_insert(keeper, [{"id": 1, "ticked": 0.0, "listening_since": 0.0}])
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("channel", sa.String(1024), primary_key=True),
        sa.Column("event", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Float),
        sa.Column("sent", sa.Float),
        sa.Column("problem", sa.String(512), nullable=False),
    )
    op.create_index("outbox_that_is_due", "outbox", ["due"])
    reader = op.create_table(
        "reader",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("tally", sa.JSON, nullable=False),
        sa.Column("alarmed", sa.Boolean, nullable=False),
    )
    beginning = {"id": 1, "number": 0, "digest": "0" * 64, "since": 0.0}
    op.bulk_insert(reader, [{**beginning, "tally": {}, "alarmed": False}])
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(256), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("because", sa.String(1024), nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
        sa.Column("phase", sa.Integer, nullable=False),
        sa.Column("phase_began", sa.Float, nullable=False),
        sa.Column("last_phase", sa.Integer, nullable=False),
        sa.Column("phases", sa.JSON, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("order", sa.JSON, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("frozen", sa.JSON, nullable=False),
        sa.Column("warned", sa.String(1024), nullable=False),
        sa.Column("opens", sa.Float),
        sa.Column("closes", sa.Float),
        sa.Column("configuration", sa.String(1024), nullable=False),
        sa.Column("occurrence", sa.String(14), nullable=False),
        sa.Column("windows_order", sa.JSON),
    )
    op.create_table(
        "turns",
        sa.Column("rollout", sa.String(36), sa.ForeignKey("rollouts.id"), primary_key=True),
        sa.Column("machine", sa.String(36), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("phase", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(8), nullable=False),
        sa.Column("group", sa.String(1024), nullable=False),
        sa.Column("domain", sa.Integer, nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("run", sa.String(36)),
        sa.Column("started", sa.Float),
        sa.Column("until", sa.Float),
        sa.Column("installed", sa.Float),
        sa.Column("ended", sa.Float),
        sa.Column("reverted", sa.Float),
        sa.Column("failure", sa.String(16), nullable=False),
        sa.Column("because", sa.String(512), nullable=False),
        sa.Column("pardoned", sa.Boolean, nullable=False),
    )
    in_order = ["rollout", "group", "state", "phase", "domain", "machine"]
    in_order += ["time_zone", "owner", "attempts"]
    for name, columns in (
        ("turns_in_order", in_order),
        ("turns_by_state", ["rollout", "state", "phase", "owner", "region", "zone", "machine"]),
        ("turns_of_a_machine", ["machine", "state"]),
        ("turns_of_a_group", ["group", "state", "domain"]),
        ("turns_by_success", ["rollout", "installed"]),
    ):
        op.create_index(name, "turns", columns)
    op.create_table(
        "codes",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("resource", sa.String(1024), nullable=False),
        sa.Column("location", sa.String(64), nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("used", sa.Float),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("machine", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("started_by", sa.String(16), nullable=False),
        sa.Column("location", sa.String(64), nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("sent", sa.Float),
        sa.Column("finished", sa.Float),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("result", sa.JSON),
    )
    op.create_index("runs_of_a_machine", "runs", ["machine", "kind", "created"])
    op.create_index("runs_that_wait", "runs", ["finished", "sent"])
    op.create_index("runs_by_time", "runs", ["created", "id"])
    op.create_table(
        "compliance",
        sa.Column("machine", sa.String(36), primary_key=True),
        sa.Column("assessed", sa.Float, nullable=False),
        sa.Column("urgent", sa.Integer, nullable=False),
        sa.Column("others", sa.Integer, nullable=False),
        sa.Column("live", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.Column("restart", sa.Integer, nullable=False),
        sa.Column("unexamined", sa.Integer, nullable=False),
        sa.Column("reboot", sa.Boolean, nullable=False),
    )
    op.create_table(
        "missing",
        sa.Column("machine", sa.String(36), primary_key=True),
        sa.Column("article", sa.String(256), primary_key=True),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("classification", sa.String(32), nullable=False),
        sa.Column("hotpatch", sa.Boolean, nullable=False),
        sa.Column("outdated", sa.Integer, nullable=False),
    )
    of_missing = ["article", "classification", "hotpatch", "outdated", "machine"]
    op.create_index("missing_by_article", "missing", of_missing)
    op.create_table(
        "listing",
        sa.Column("key", sa.String(1024), primary_key=True),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("machine", sa.String(36)),
        sa.Column("words", sa.String(520), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(8), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("os", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("updates", sa.String(16), nullable=False),
        sa.Column("hotpatch", sa.String(32), nullable=False),
        sa.Column("vulnerable", sa.Integer, nullable=False),
        sa.Column("restart", sa.Integer, nullable=False),
        sa.Column("live", sa.Integer, nullable=False),
        sa.Column("unexamined", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    counted = ["state", "updates", "region", "zone", "time_zone", "type", "os", "hotpatch"]
    counted += ["owner", "machine", "vulnerable", "restart", "live", "unexamined", "words"]
    op.create_index("listing_counted", "listing", counted)
    op.create_table(
        "exposure",
        sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("vulnerable", sa.Integer, nullable=False),
        sa.Column("live", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.Column("restart", sa.Integer, nullable=False),
        sa.Column("unknown", sa.Integer, nullable=False),
    )
    op.create_table(
        "maintenance_assignments",
        sa.Column("key", sa.String(1024), primary_key=True),
        sa.Column("id", sa.String(1024), nullable=False),
        sa.Column("configuration", sa.String(1024), nullable=False),
        sa.Column("target", sa.String(1024), nullable=False),
        sa.Column("subscription", sa.String(64), nullable=False),
        sa.Column("group", sa.String(128), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_index("assignments_of_a_configuration", "maintenance_assignments", ["configuration"])
    op.create_index("assignments_of_a_target", "maintenance_assignments", ["target"])
    op.create_table(
        "apply_updates",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("resource", sa.String(1024), nullable=False),
        sa.Column("configuration", sa.String(1024), nullable=False),
        sa.Column("run", sa.String(36), nullable=False),
        sa.Column("occurrence", sa.String(14), nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_index("apply_updates_of_a_resource", "apply_updates", ["resource", "created"])
    op.create_table(
        "principals",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(256), nullable=False, unique=True),
        sa.Column("person", sa.Boolean, nullable=False),
        sa.Column("secret", sa.String(256), nullable=False),
        sa.Column("elsewhere", sa.String(512), unique=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("principal", sa.String(36), nullable=False),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("began", sa.Float, nullable=False),
        sa.Column("used", sa.Float, nullable=False),
    )
    op.create_index("sessions_of_a_principal", "sessions", ["principal"])
    op.create_table(
        "first_admin_links",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("expires", sa.Float, nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("what", sa.String(128), nullable=False),
        sa.Column("subject", sa.String(1024), nullable=False),
        sa.Column("asked_by", sa.String(36), nullable=False),
        sa.Column("asked", sa.Float, nullable=False),
        sa.Column("approved_by", sa.String(36)),
    )
    op.create_index("approvals_of_a_subject", "approvals", ["what", "subject"])
    op.create_table(
        "assignments",
        sa.Column("principal", sa.String(36), sa.ForeignKey("principals.id"), primary_key=True),
        sa.Column("scope", sa.String(1024), primary_key=True),
        sa.Column("role", sa.String(16), primary_key=True),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("who", sa.String(256), nullable=False),
        sa.Column("what", sa.String(128), nullable=False),
        sa.Column("subject", sa.String(1024), nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("peaks", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(head, [{"size": 0, "digest": "0" * 64, "peaks": b""}])
    op.create_table(
        "audit_nodes",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("note", sa.String(1024), nullable=False),
    )

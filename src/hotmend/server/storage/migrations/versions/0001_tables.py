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
    op.create_index("resources_of_a_type", "resources", ["subscription", "type"])
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
    )
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
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "assignments",
        sa.Column("principal", sa.String(36), sa.ForeignKey("principals.id"), primary_key=True),
        sa.Column("scope", sa.String(1024), primary_key=True),
        sa.Column("role", sa.String(16), primary_key=True),
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

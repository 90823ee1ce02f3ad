"""How machines say they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_health"
down_revision = "0001"


def upgrade() -> None:
    """One row for each machine that has said so."""
    op.create_table(
        "health",
        sa.Column("machine", sa.String(36), primary_key=True),
        sa.Column("told", sa.Float, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
    )

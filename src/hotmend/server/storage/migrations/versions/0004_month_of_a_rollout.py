"""Of which month the release of a rollout is: a newer one that brings all of it supersedes it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    month = sa.Column("month", sa.String(7), nullable=False, server_default="")
    op.add_column("rollouts", month)

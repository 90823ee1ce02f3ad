"""How many releases the last assessment of a machine could not read whole: who could not, does not
know what it lacks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    unread = sa.Column("unread", sa.Integer, nullable=False, server_default="0")
    op.add_column("compliance", unread)

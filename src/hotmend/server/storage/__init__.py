"""Rows: the same statements on SQLite and on PostgreSQL."""

"""Everything that knows Postgres: one module a group of tables, and the way to the server."""

"""Networks of all families, and students that were really trained, in every precision; `make matrix` runs it."""

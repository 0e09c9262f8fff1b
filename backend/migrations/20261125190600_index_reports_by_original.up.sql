-- no-transaction
-- Without it, each report that is removed would be looked for in all others.
CREATE INDEX CONCURRENTLY reports_duplicate_of_idx ON reports (duplicate_of) WHERE duplicate_of IS NOT NULL;

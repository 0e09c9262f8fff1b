-- no-transaction
-- Researchers list their own.
CREATE INDEX CONCURRENTLY reports_reporter_newest_idx ON reports (reporter_id, created_at DESC, id DESC);

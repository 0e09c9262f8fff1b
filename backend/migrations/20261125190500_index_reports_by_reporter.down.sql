-- no-transaction
DROP INDEX CONCURRENTLY reports_reporter_newest_idx;

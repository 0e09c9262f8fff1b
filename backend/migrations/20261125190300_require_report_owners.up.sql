-- The version before keeps to it by the trigger.
-- accept ban-new-write-restriction: reports_fill_reporter_id sets what the version before leaves out.
ALTER TABLE reports ADD CONSTRAINT reports_reporter_id_check CHECK (reporter_id IS NOT NULL) NOT VALID;

ALTER TABLE reports ADD CONSTRAINT reports_reporter_id_check CHECK (reporter_id IS NOT NULL) NOT VALID;
ALTER TABLE reports ALTER COLUMN reporter_id DROP NOT NULL;

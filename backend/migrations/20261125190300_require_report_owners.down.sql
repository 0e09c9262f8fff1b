ALTER TABLE reports DROP CONSTRAINT reports_reporter_id_check;

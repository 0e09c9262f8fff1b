ALTER TABLE programs DROP CONSTRAINT programs_slug_is_no_id_check;

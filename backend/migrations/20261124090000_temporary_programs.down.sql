ALTER TABLE programs DROP COLUMN temporary;

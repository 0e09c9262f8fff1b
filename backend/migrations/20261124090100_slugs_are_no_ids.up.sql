-- A slug that looks like an id would answer in the place of the program that has this id.
UPDATE programs SET slug = 'program-' || slug
WHERE slug ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

ALTER TABLE programs ADD CONSTRAINT programs_slug_is_no_id_check
    CHECK (slug !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$');

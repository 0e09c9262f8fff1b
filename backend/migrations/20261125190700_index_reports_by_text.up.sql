-- no-transaction
-- What `q` finds: words, in no particular language.
CREATE INDEX CONCURRENTLY reports_text_idx ON reports USING gin (to_tsvector('simple', title || ' ' || description));

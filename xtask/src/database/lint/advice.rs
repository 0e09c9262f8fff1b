//! What a finding means: what happens to whom, and the sequence that is safe.

/// What there is to say about a rule.
pub struct Advice {
    /// The rule.
    pub rule: &'static str,
    /// What happens to whom, in a sentence.
    pub effect: &'static str,
    /// What to do instead.
    pub instead: &'static str,
    /// Whether the version before, which still runs, cannot go on with it.
    pub is_incompatible: bool,
}

const fn blocks(rule: &'static str, effect: &'static str, instead: &'static str) -> Advice {
    Advice { rule, effect, instead, is_incompatible: false }
}

const fn breaks(rule: &'static str, effect: &'static str, instead: &'static str) -> Advice {
    Advice { rule, effect, instead, is_incompatible: true }
}

/// Of the rest squawk's own words are shown, and they leave the version before running.
#[rustfmt::skip]
pub const ALL: &[Advice] = &[
    // Own rules.
    blocks("unbatched-write", "It writes every row in one transaction: the rows stay locked until the end, and the table can double in size.", "Write in batches of some thousand rows, each in a transaction of its own: a task of the service, or a script in which each batch has a WHERE on the key."),
    blocks("write-under-lock", "ALTER TABLE above keeps everybody out of the table until the transaction ends, which is after this write.", "Put the write into a migration of its own."),
    blocks("vacuum-full", "It rewrites the table, and nobody can read or write it meanwhile.", "Leave it to autovacuum, or use pg_repack outside of migrations."),
    blocks("lock-table", "Everybody who needs the table waits until the transaction ends.", "Use statements that take the weakest lock they need."),
    blocks("table-rewrite", "It rewrites the table, and nobody can read or write it meanwhile.", "Make a new table, copy in batches, and rename in a later migration."),
    blocks("refresh-without-concurrently", "Nobody can read the view until it is computed.", "REFRESH MATERIALIZED VIEW CONCURRENTLY, in a `-- no-transaction` file; it needs a unique index."),
    blocks("enum-value-in-its-transaction", "PostgreSQL refuses to use a value in the transaction that added it (SQLSTATE 55P04).", "Add the value in one migration, and use it in the next."),
    blocks("refused-in-a-transaction", "PostgreSQL refuses it inside of a transaction (SQLSTATE 25001).", "Put it alone into a file that begins with -- no-transaction."),
    blocks("empty", "There is no statement in the file, and it is not applied.", "Write the statements, or remove both files."),
    blocks("squawk-ignore", "squawk would be silent about it, without a reason for whoever reads the file.", "Write -- accept RULE: reason above the statement."),
    blocks("accept-without-reason", "Nobody will know why it was accepted.", "Write -- accept RULE: reason above the statement."),
    blocks("accept-without-finding", "The comment accepts what is not found in the statement below it, perhaps since it was changed.", "Remove the comment, or correct the rule's name."),
    breaks("syntax-error", "The file cannot be read from there on, so that what follows was not linted.", "Correct the statement."),
    breaks("truncate", "All rows are gone at once, and the version that still runs may need them.", "Let the service delete what it no longer needs, in batches, once no version reads it."),
    breaks("create-trigger", "It runs within writes of the version that still runs, which does not know of it, and needs a lock that blocks writes.", "Make a trigger that cannot fail, and say so: -- accept create-trigger: reason."),
    breaks("create-rule", "It changes what statements of the version that still runs do.", "Change the statements in the service."),
    breaks("row-level-security", "The version that still runs sees no rows, or fewer, as soon as it is enabled.", "Deploy the version that sets what the policies ask for, and enable it in a later migration."),

    // squawk's.
    breaks("adding-required-field", "Inserts of the version that still runs fail: it does not know of the column.", "Add the column as nullable or with a default; fill it; add a CHECK (… IS NOT NULL) NOT VALID, validate it, and SET NOT NULL in later migrations."),
    breaks("adding-not-nullable-field", "Reads and writes wait while the table is scanned, and inserts without a value fail.", "Add CHECK (column IS NOT NULL) NOT VALID; in the next migration VALIDATE CONSTRAINT, SET NOT NULL, and drop the check."),
    breaks("ban-drop-column", "The version that still runs selects the column, and fails.", "Deploy a version that does not use it; drop it in a later migration, with -- accept ban-drop-column: unread since VERSION."),
    breaks("ban-drop-table", "The version that still runs reads the table, and fails.", "Deploy a version that does not use it; drop it in a later migration, with -- accept ban-drop-table: unread since VERSION."),
    breaks("ban-drop-view", "The version that still runs reads the view, and fails.", "Deploy a version that does not use it, and drop it in a later migration."),
    breaks("ban-drop-type", "The version that still runs uses the type, and fails.", "Deploy a version that does not use it, and drop it in a later migration."),
    breaks("ban-drop-function", "The version that still runs calls the function, and fails.", "Deploy a version that does not use it, and drop it in a later migration."),
    breaks("ban-drop-schema", "Everything in it is gone for the version that still runs.", "Deploy a version that does not use it, and drop it in a later migration."),
    breaks("ban-drop-database", "Everything in it is gone.", "A migration never drops a database."),
    breaks("ban-drop-default", "Inserts of the version that still runs leave the column out, and fail or store NULL.", "Deploy a version that gives the value, and drop the default in a later migration."),
    breaks("ban-set-schema", "The version that still runs does not find the object.", "Make the new one, write to both, read from the new one, and drop the old one in a later migration."),
    breaks("renaming-column", "The version that still runs uses the old name, and fails.", "Add a column with the new name; write both; fill it; read the new one; drop the old one in a later migration."),
    breaks("renaming-table", "The version that still runs uses the old name, and fails.", "Make a view with the new name, deploy a version that uses it, and swap both in a later migration."),
    breaks("renaming-object", "The version that still runs uses the old name, and fails.", "Make a second one with the new name, and drop the old one in a later migration."),
    breaks("changing-column-type", "The table is rewritten while nobody can use it, and the version that still runs may not understand the type.", "Add a column of the new type; write both; fill it; read the new one; drop the old one in a later migration."),
    breaks("ban-new-write-restriction", "Writes of the version that still runs can be refused: it does not know of the restriction.", "Deploy a version that keeps to it first; then add it, with -- accept ban-new-write-restriction: kept since VERSION."),
    blocks("constraint-missing-not-valid", "Writes wait while every row is checked.", "Add it as NOT VALID, and VALIDATE CONSTRAINT in the next migration, which lets writes go on."),
    blocks("adding-foreign-key-constraint", "Writes to both tables wait while every row is checked.", "Add it as NOT VALID, and VALIDATE CONSTRAINT in the next migration, which lets writes go on."),
    blocks("disallowed-unique-constraint", "Reads and writes wait while the index is built.", "CREATE UNIQUE INDEX CONCURRENTLY in a `-- no-transaction` file; then ADD CONSTRAINT … UNIQUE USING INDEX."),
    blocks("adding-serial-primary-key-field", "Reads and writes wait while the index is built, or the table is rewritten.", "CREATE UNIQUE INDEX CONCURRENTLY in a `-- no-transaction` file; then ADD CONSTRAINT … PRIMARY KEY USING INDEX."),
    blocks("adding-field-with-default", "The table is rewritten while nobody can use it: the default differs from row to row.", "Add the column without a default, set the default, and fill old rows in batches."),
    blocks("require-concurrent-index-creation", "Writes to the table wait while the index is built.", "CREATE INDEX CONCURRENTLY, alone in a file that begins with -- no-transaction."),
    blocks("require-concurrent-index-deletion", "Everybody who needs the table waits, behind the longest query that uses it.", "DROP INDEX CONCURRENTLY, alone in a file that begins with -- no-transaction."),
    blocks("ban-concurrent-index-creation-in-transaction", "PostgreSQL refuses it inside of a transaction.", "Put it alone into a file that begins with -- no-transaction."),
    blocks("require-concurrent-reindex", "Writes to the table wait while the index is built.", "REINDEX … CONCURRENTLY, alone in a file that begins with -- no-transaction."),
    blocks("transaction-nesting", "It ends the migrator's transaction: what follows is not rolled back when it fails.", "Leave BEGIN and COMMIT out, or begin the file with -- no-transaction."),
];

/// What there is to say about a rule; none where squawk's own words have to do.
pub fn of(rule: &str) -> Option<&'static Advice> {
    ALL.iter().find(|advice| advice.rule == rule)
}

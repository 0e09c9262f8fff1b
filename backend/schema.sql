-- What the migrations add up to. `cargo xtask migrate check --fix` writes this file, and `check` fails when it is not
-- fresh. Read it to see what a migration changes; nothing is ever made from it.

CREATE TABLE public.program_assets (
    program_id uuid NOT NULL,
    identifier text NOT NULL,
    kind text NOT NULL,
    in_scope boolean DEFAULT true NOT NULL,
    instructions text DEFAULT ''::text NOT NULL,
    CONSTRAINT program_assets_identifier_check CHECK (((length(identifier) >= 1) AND (length(identifier) <= 255))),
    CONSTRAINT program_assets_instructions_check CHECK ((length(instructions) <= 2000)),
    CONSTRAINT program_assets_kind_check CHECK ((kind = ANY (ARRAY['web'::text, 'api'::text, 'mobile'::text, 'source'::text, 'hardware'::text, 'network'::text, 'other'::text])))
);

CREATE TABLE public.program_rewards (
    program_id uuid NOT NULL,
    severity text NOT NULL,
    minimum bigint NOT NULL,
    maximum bigint NOT NULL,
    CONSTRAINT program_rewards_range_check CHECK (((minimum >= 0) AND (maximum >= minimum))),
    CONSTRAINT program_rewards_severity_check CHECK ((severity = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text, 'critical'::text])))
);

CREATE TABLE public.programs (
    id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    summary text NOT NULL,
    policy text DEFAULT ''::text NOT NULL,
    status text DEFAULT 'draft'::text NOT NULL,
    currency text DEFAULT 'EUR'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    temporary boolean DEFAULT false NOT NULL,
    CONSTRAINT programs_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT programs_name_check CHECK (((length(name) >= 1) AND (length(name) <= 120))),
    CONSTRAINT programs_policy_check CHECK ((length(policy) <= 20000)),
    CONSTRAINT programs_slug_check CHECK (((slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'::text) AND ((length(slug) >= 3) AND (length(slug) <= 60)))),
    CONSTRAINT programs_slug_is_no_id_check CHECK ((slug !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'::text)),
    CONSTRAINT programs_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'open'::text, 'paused'::text, 'closed'::text]))),
    CONSTRAINT programs_summary_check CHECK (((length(summary) >= 1) AND (length(summary) <= 500)))
);

CREATE TABLE public.reports (
    id uuid NOT NULL,
    number bigint NOT NULL,
    program_id uuid NOT NULL,
    title text NOT NULL,
    severity text NOT NULL,
    state text DEFAULT 'new'::text NOT NULL,
    weakness integer,
    asset text,
    description text NOT NULL,
    reporter text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT reports_description_check CHECK (((length(description) >= 1) AND (length(description) <= 50000))),
    CONSTRAINT reports_reporter_check CHECK ((reporter ~ '^[a-z0-9][a-z0-9_-]{1,38}$'::text)),
    CONSTRAINT reports_severity_check CHECK ((severity = ANY (ARRAY['none'::text, 'low'::text, 'medium'::text, 'high'::text, 'critical'::text]))),
    CONSTRAINT reports_state_check CHECK ((state = ANY (ARRAY['new'::text, 'triaged'::text, 'resolved'::text, 'duplicate'::text, 'informative'::text, 'rejected'::text]))),
    CONSTRAINT reports_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200))),
    CONSTRAINT reports_weakness_check CHECK (((weakness >= 1) AND (weakness <= 99999)))
);

ALTER TABLE public.reports ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.reports_number_seq
    START WITH 1001
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.program_assets
    ADD CONSTRAINT program_assets_pkey PRIMARY KEY (program_id, identifier);

ALTER TABLE ONLY public.program_rewards
    ADD CONSTRAINT program_rewards_pkey PRIMARY KEY (program_id, severity);

ALTER TABLE ONLY public.programs
    ADD CONSTRAINT programs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.programs
    ADD CONSTRAINT programs_slug_key UNIQUE (slug);

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_number_key UNIQUE (number);

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_pkey PRIMARY KEY (id);

CREATE INDEX programs_newest_idx ON public.programs USING btree (created_at DESC, id DESC);

CREATE INDEX programs_status_newest_idx ON public.programs USING btree (status, created_at DESC, id DESC);

CREATE INDEX programs_temporary_idx ON public.programs USING btree (created_at) WHERE temporary;

CREATE INDEX reports_newest_idx ON public.reports USING btree (created_at DESC, id DESC);

CREATE INDEX reports_program_newest_idx ON public.reports USING btree (program_id, created_at DESC, id DESC);

CREATE INDEX reports_program_severity_newest_idx ON public.reports USING btree (program_id, severity, created_at DESC, id DESC);

CREATE INDEX reports_program_state_newest_idx ON public.reports USING btree (program_id, state, created_at DESC, id DESC);

CREATE INDEX reports_program_state_severity_newest_idx ON public.reports USING btree (program_id, state, severity, created_at DESC, id DESC);

CREATE INDEX reports_severity_newest_idx ON public.reports USING btree (severity, created_at DESC, id DESC);

CREATE INDEX reports_state_newest_idx ON public.reports USING btree (state, created_at DESC, id DESC);

CREATE INDEX reports_state_severity_newest_idx ON public.reports USING btree (state, severity, created_at DESC, id DESC);

ALTER TABLE ONLY public.program_assets
    ADD CONSTRAINT program_assets_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.program_rewards
    ADD CONSTRAINT program_rewards_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_asset_fkey FOREIGN KEY (program_id, asset) REFERENCES public.program_assets(program_id, identifier) ON DELETE RESTRICT;

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id) ON DELETE RESTRICT;

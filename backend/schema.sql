-- What the migrations add up to. `cargo xtask migrate check --fix` writes this file, and `check` fails when it is not
-- fresh. Read it to see what a migration changes; nothing is ever made from it.

CREATE FUNCTION public.fill_reporter_id() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.reporter_id IS NULL THEN
        INSERT INTO users (id, handle) VALUES (gen_random_uuid(), NEW.reporter) ON CONFLICT (handle) DO NOTHING;
        SELECT id INTO NEW.reporter_id FROM users WHERE handle = NEW.reporter;
    END IF;
    RETURN NEW;
END
$$;

CREATE TABLE public.idempotency_keys (
    user_id uuid NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    location text,
    etag text,
    body text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

CREATE TABLE public.password_resets (
    hash bytea NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

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

CREATE TABLE public.program_members (
    program_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
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
    version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT programs_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT programs_name_check CHECK (((length(name) >= 1) AND (length(name) <= 120))),
    CONSTRAINT programs_policy_check CHECK ((length(policy) <= 20000)),
    CONSTRAINT programs_slug_check CHECK (((slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'::text) AND ((length(slug) >= 3) AND (length(slug) <= 60)))),
    CONSTRAINT programs_slug_is_no_id_check CHECK ((slug !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'::text)),
    CONSTRAINT programs_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'open'::text, 'paused'::text, 'closed'::text]))),
    CONSTRAINT programs_summary_check CHECK (((length(summary) >= 1) AND (length(summary) <= 500)))
);

CREATE TABLE public.refresh_tokens (
    hash bytea NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    used_at timestamp with time zone
);

CREATE TABLE public.report_comments (
    id uuid NOT NULL,
    report_id uuid NOT NULL,
    author_id uuid NOT NULL,
    body text NOT NULL,
    internal boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT report_comments_body_check CHECK (((length(body) >= 1) AND (length(body) <= 20000)))
);

CREATE TABLE public.report_events (
    id uuid NOT NULL,
    report_id uuid NOT NULL,
    actor_id uuid,
    kind text NOT NULL,
    changes jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT report_events_kind_check CHECK ((kind = ANY (ARRAY['created'::text, 'changed'::text, 'transitioned'::text, 'commented'::text])))
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
    reporter_id uuid NOT NULL,
    duplicate_of uuid,
    version bigint DEFAULT 1 NOT NULL,
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

CREATE TABLE public.sessions (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    address text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    ended_by text,
    CONSTRAINT sessions_ended_by_check CHECK ((ended_by = ANY (ARRAY['sign-out'::text, 'password'::text, 'reuse'::text, 'admin'::text]))),
    CONSTRAINT sessions_ended_check CHECK (((ended_at IS NULL) = (ended_by IS NULL))),
    CONSTRAINT sessions_user_agent_check CHECK ((length(user_agent) <= 200))
);

CREATE TABLE public.sign_ups (
    hash bytea NOT NULL,
    email text NOT NULL,
    handle text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.users (
    id uuid NOT NULL,
    handle text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    email text,
    password_hash text,
    role text DEFAULT 'researcher'::text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    temporary boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT users_email_check CHECK (((email = lower(email)) AND ((length(email) >= 3) AND (length(email) <= 254)))),
    CONSTRAINT users_handle_check CHECK ((handle ~ '^[a-z0-9][a-z0-9_-]{1,38}$'::text)),
    CONSTRAINT users_name_check CHECK ((length(name) <= 80)),
    CONSTRAINT users_role_check CHECK ((role = ANY (ARRAY['researcher'::text, 'triager'::text, 'admin'::text]))),
    CONSTRAINT users_sign_in_check CHECK (((email IS NULL) = (password_hash IS NULL))),
    CONSTRAINT users_status_check CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text])))
);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key);

ALTER TABLE ONLY public.password_resets
    ADD CONSTRAINT password_resets_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.program_assets
    ADD CONSTRAINT program_assets_pkey PRIMARY KEY (program_id, identifier);

ALTER TABLE ONLY public.program_members
    ADD CONSTRAINT program_members_pkey PRIMARY KEY (user_id, program_id);

ALTER TABLE ONLY public.program_rewards
    ADD CONSTRAINT program_rewards_pkey PRIMARY KEY (program_id, severity);

ALTER TABLE ONLY public.programs
    ADD CONSTRAINT programs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.programs
    ADD CONSTRAINT programs_slug_key UNIQUE (slug);

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.report_comments
    ADD CONSTRAINT report_comments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.report_events
    ADD CONSTRAINT report_events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_number_key UNIQUE (number);

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sign_ups
    ADD CONSTRAINT sign_ups_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_email_key UNIQUE (email);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_handle_key UNIQUE (handle);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX idempotency_keys_age_idx ON public.idempotency_keys USING btree (created_at);

CREATE INDEX password_resets_expires_idx ON public.password_resets USING btree (expires_at);

CREATE INDEX password_resets_user_idx ON public.password_resets USING btree (user_id);

CREATE INDEX program_members_program_idx ON public.program_members USING btree (program_id);

CREATE INDEX programs_newest_idx ON public.programs USING btree (created_at DESC, id DESC);

CREATE INDEX programs_status_newest_idx ON public.programs USING btree (status, created_at DESC, id DESC);

CREATE INDEX programs_temporary_idx ON public.programs USING btree (created_at) WHERE temporary;

CREATE INDEX refresh_tokens_session_idx ON public.refresh_tokens USING btree (session_id);

CREATE INDEX report_comments_author_idx ON public.report_comments USING btree (author_id);

CREATE INDEX report_comments_report_idx ON public.report_comments USING btree (report_id, created_at DESC, id DESC);

CREATE INDEX report_events_actor_idx ON public.report_events USING btree (actor_id);

CREATE INDEX report_events_report_idx ON public.report_events USING btree (report_id, created_at DESC, id DESC);

CREATE INDEX reports_duplicate_of_idx ON public.reports USING btree (duplicate_of) WHERE (duplicate_of IS NOT NULL);

CREATE INDEX reports_newest_idx ON public.reports USING btree (created_at DESC, id DESC);

CREATE INDEX reports_program_newest_idx ON public.reports USING btree (program_id, created_at DESC, id DESC);

CREATE INDEX reports_program_severity_newest_idx ON public.reports USING btree (program_id, severity, created_at DESC, id DESC);

CREATE INDEX reports_program_state_newest_idx ON public.reports USING btree (program_id, state, created_at DESC, id DESC);

CREATE INDEX reports_program_state_severity_newest_idx ON public.reports USING btree (program_id, state, severity, created_at DESC, id DESC);

CREATE INDEX reports_reporter_newest_idx ON public.reports USING btree (reporter_id, created_at DESC, id DESC);

CREATE INDEX reports_severity_newest_idx ON public.reports USING btree (severity, created_at DESC, id DESC);

CREATE INDEX reports_state_newest_idx ON public.reports USING btree (state, created_at DESC, id DESC);

CREATE INDEX reports_state_severity_newest_idx ON public.reports USING btree (state, severity, created_at DESC, id DESC);

CREATE INDEX reports_text_idx ON public.reports USING gin (to_tsvector('simple'::regconfig, ((title || ' '::text) || description)));

CREATE INDEX sessions_expires_idx ON public.sessions USING btree (expires_at);

CREATE INDEX sessions_user_idx ON public.sessions USING btree (user_id, created_at DESC, id DESC);

CREATE INDEX sign_ups_email_idx ON public.sign_ups USING btree (email);

CREATE INDEX sign_ups_expires_idx ON public.sign_ups USING btree (expires_at);

CREATE INDEX users_newest_idx ON public.users USING btree (created_at DESC, id DESC);

CREATE INDEX users_temporary_idx ON public.users USING btree (created_at) WHERE temporary;

CREATE TRIGGER reports_fill_reporter_id BEFORE INSERT ON public.reports FOR EACH ROW EXECUTE FUNCTION public.fill_reporter_id();

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.password_resets
    ADD CONSTRAINT password_resets_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.program_assets
    ADD CONSTRAINT program_assets_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.program_members
    ADD CONSTRAINT program_members_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.program_members
    ADD CONSTRAINT program_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.program_rewards
    ADD CONSTRAINT program_rewards_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.report_comments
    ADD CONSTRAINT report_comments_author_id_fkey FOREIGN KEY (author_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.report_comments
    ADD CONSTRAINT report_comments_report_id_fkey FOREIGN KEY (report_id) REFERENCES public.reports(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.report_events
    ADD CONSTRAINT report_events_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES public.users(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.report_events
    ADD CONSTRAINT report_events_report_id_fkey FOREIGN KEY (report_id) REFERENCES public.reports(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_asset_fkey FOREIGN KEY (program_id, asset) REFERENCES public.program_assets(program_id, identifier) ON DELETE RESTRICT;

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_duplicate_of_fkey FOREIGN KEY (duplicate_of) REFERENCES public.reports(id);

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_program_id_fkey FOREIGN KEY (program_id) REFERENCES public.programs(id) ON DELETE RESTRICT;

ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_reporter_id_fkey FOREIGN KEY (reporter_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

-- Months, so that retention drops a table instead of deleting rows. The key is the id alone: a UUIDv7 begins with its
-- millisecond, so a range of ids is a range of time, and a row is found in its month by its id.

ALTER TABLE predictions RENAME TO predictions_before_months;
ALTER TABLE predictions_before_months RENAME CONSTRAINT predictions_pkey TO predictions_before_months_pkey;

CREATE TABLE predictions (LIKE predictions_before_months INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (id);
ALTER TABLE predictions ADD PRIMARY KEY (id);

ALTER INDEX predictions_received_at RENAME TO predictions_before_months_received_at;
ALTER INDEX predictions_actor_received_at RENAME TO predictions_before_months_actor_received_at;
ALTER INDEX predictions_input_digest RENAME TO predictions_before_months_input_digest;
CREATE INDEX predictions_received_at ON predictions (received_at);
CREATE INDEX predictions_actor_received_at ON predictions (actor, received_at);
CREATE INDEX predictions_input_digest ON predictions (input_digest);

CREATE TRIGGER predictions_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON predictions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE predictions ENABLE ALWAYS TRIGGER predictions_append_only;

-- The smallest id of a moment.
CREATE FUNCTION first_id(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Makes the months that are missing, from this one to `ahead` months from now, and says which. As its owner, so that the service can call
-- it whose role makes no tables; what it may find is pinned below for the same reason.
CREATE FUNCTION make_months(ahead integer DEFAULT 3) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    month timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
    name  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('make_months', 0));
    FOR n IN 0 .. least(ahead, 24) LOOP
        name := 'predictions_' || to_char(month, 'YYYY_MM');
        -- Rows from before the months lie in a table that ends with the month in which it became one of them.
        IF to_regclass(name) IS NULL AND NOT EXISTS (
            SELECT FROM predictions_months WHERE month AT TIME ZONE 'UTC' >= starts AND month AT TIME ZONE 'UTC' < ends
        ) THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF predictions FOR VALUES FROM (%L) TO (%L)', name,
                first_id(month AT TIME ZONE 'UTC'), first_id((month + interval '1 month') AT TIME ZONE 'UTC'));
            -- A statement on the month itself does not fire the whole table's trigger.
            EXECUTE format('CREATE TRIGGER predictions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
                'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
            EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER predictions_append_only', name);
            INSERT INTO predictions_months VALUES
                (name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
            RETURN NEXT name;
        END IF;
        month := month + interval '1 month';
    END LOOP;
END
$$;

-- What the months are; a month that retention has dropped stays here, with when that was and under which tree.
CREATE TABLE predictions_months (
    name         text PRIMARY KEY,
    starts       timestamptz NOT NULL,
    ends         timestamptz NOT NULL CHECK (ends > starts),
    -- A month that is held is never dropped, however old it is; who holds it and why.
    held         text,
    dropped_at   timestamptz,
    -- Size of the anchored tree that holds every leaf of the dropped rows.
    anchored_at  bigint,
    CONSTRAINT dropped_whole_or_not CHECK (num_nonnulls(dropped_at, anchored_at) IN (0, 2)),
    CONSTRAINT held_is_not_dropped CHECK (held IS NULL OR dropped_at IS NULL)
);

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION make_months(integer) SET search_path = %I, pg_temp', current_schema());
END
$$;

DO $$
DECLARE
    next_month timestamptz := (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF EXISTS (SELECT FROM predictions_before_months) THEN
        EXECUTE format('ALTER TABLE predictions ATTACH PARTITION predictions_before_months FOR VALUES FROM (MINVALUE) TO (%L)',
            first_id(next_month));
        INSERT INTO predictions_months VALUES ('predictions_before_months', '-infinity', next_month);
    ELSE
        DROP TABLE predictions_before_months;
    END IF;
END
$$;

SELECT make_months();

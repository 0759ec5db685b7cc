-- The present schema of waldo-syncd.db. The one definition: the daemon creates files from this text.
--
-- `log` is what happened, appended and never changed; only a payload may be taken out, for what was read of it. Everything below it is derived from it and can be folded again
-- at any time (`waldo-syncd rebuild`). Times are milliseconds since 1970, UTC.

-- One row an event. An event is known by its digest and bound to all before it by its chain.
CREATE TABLE log (
  seq         INTEGER PRIMARY KEY,
  received_at INTEGER NOT NULL,
  source      INTEGER NOT NULL,            -- 1 webhook, 2 gateway, 3 poll, 4 control
  size        INTEGER NOT NULL,            -- bytes that arrived; of a body that was too large, payload has the first
  digest      BLOB    NOT NULL,            -- SHA-256 of the body
  chain       BLOB    NOT NULL,            -- SHA-256(previous chain, seq, received_at, digest)
  payload     BLOB,                        -- the body as it came; null once pruned
  reading     TEXT                         -- what was read of the body, kept in its place when it is pruned
) STRICT;

CREATE TRIGGER log_keeps_its_rows BEFORE DELETE ON log
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

CREATE TRIGGER log_keeps_what_happened BEFORE UPDATE OF seq, received_at, source, size, digest, chain ON log
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

-- Projections -------------------------------------------------------------------------------------------------------

-- Where the projector stands; one row.
CREATE TABLE projection (
  id              INTEGER PRIMARY KEY CHECK (id = 1),
  projected_seq   INTEGER NOT NULL,
  rules_version   INTEGER NOT NULL,        -- the rules that made these rows
  last_webhook_at INTEGER,
  newest_minute   INTEGER NOT NULL         -- the highest minute any event up to projected_seq came in
) STRICT;

-- What the rules say of each event.
CREATE TABLE verdicts (
  seq                  INTEGER PRIMARY KEY,
  event                TEXT,               -- the raw name
  disposition          INTEGER NOT NULL,   -- 1 applied, 2 duplicate, 3 stale, 4 unrecognised, 5 quarantined, 6 erased
  origin               INTEGER NOT NULL,   -- 1 api, 2 dashboard
  evidence             INTEGER NOT NULL,   -- 1 request_id, 2 pending_request, 3 own_flag_call, 4 none, 5 gateway_answer
  duplicate_of         INTEGER,
  customer             INTEGER,            -- customers.key
  request              INTEGER,            -- requests.key
  previous_of_customer INTEGER,            -- the event before this one of the same customer
  previous_of_request  INTEGER,            -- the event before this one of the same request
  replaced             TEXT,               -- JSON: member of the customer → value that the event replaced
  problems             TEXT                -- JSON: what is odd beyond what the reading says itself
) STRICT;

CREATE TABLE customers (
  key           INTEGER PRIMARY KEY,
  customer_id   TEXT    NOT NULL UNIQUE,
  external_id   TEXT,
  uri           TEXT,
  status        TEXT,
  kyc           TEXT,
  fraud_score   REAL,
  flagged       INTEGER,
  warnings      INTEGER,
  warning_tags  TEXT,                      -- JSON
  evaluations   TEXT    NOT NULL,          -- JSON
  decided_by    TEXT,
  first_seen_at INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  last_seq      INTEGER NOT NULL,
  version       INTEGER NOT NULL,          -- 0: only the id is known, the customer is not shown
  memory        TEXT    NOT NULL,          -- JSON: what the rules remember between events
  last_event    INTEGER,
  last_request  INTEGER                    -- requests.key
) STRICT;

CREATE INDEX customers_by_external_id ON customers (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE requests (
  key                  INTEGER PRIMARY KEY,
  request_id           TEXT    NOT NULL UNIQUE,
  operation            TEXT,
  customer_id          TEXT,
  external_id          TEXT,
  evaluations          TEXT    NOT NULL,   -- JSON
  expects              TEXT    NOT NULL,   -- JSON
  state                TEXT,               -- null: only the id is known, the request is not shown
  settled_by           TEXT,
  registered_at        INTEGER,
  first_event_at       INTEGER,
  settled_at           INTEGER,
  deadline_at          INTEGER,
  context              TEXT,               -- JSON of the app's own
  registered_seq       INTEGER,
  settled_outright     TEXT,
  kyc_ended            INTEGER NOT NULL DEFAULT 0, -- whether a type other than KYC has ever completed
  last_event           INTEGER,
  previous_of_customer INTEGER             -- requests.key
) STRICT;

-- Requests open and settle near each other in time, so this index stays small and warm.
CREATE INDEX requests_open ON requests (key) WHERE state IN ('pending', 'in_progress');

-- How many events, customers and requests have each word. `key` is no such number: the highest key that an erased row
-- of that table had.
CREATE TABLE counts (
  kind   TEXT    NOT NULL,                 -- event, disposition, source, status, state
  word   TEXT    NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (kind, word)
) STRICT, WITHOUT ROWID;

-- Events by the minute they came in.
CREATE TABLE minutes (
  minute    INTEGER PRIMARY KEY,           -- received_at / 60000
  events    INTEGER NOT NULL,
  first_seq INTEGER                        -- all events before this seq came before this minute; null if unknown
) STRICT;

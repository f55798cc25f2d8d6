-- The tables of format 1. docs/device.md ("The behaviour store") describes each column.

CREATE TABLE store (
    store_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    exposures_sent INTEGER NOT NULL,
    page_views_sent INTEGER NOT NULL,
    exposures_offered INTEGER,
    page_views_offered INTEGER,
    requests_offered INTEGER
);

CREATE TABLE exposures (
    ordinal INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    action TEXT NOT NULL,
    served TEXT NOT NULL,
    page_id INTEGER,
    offered_at INTEGER,
    opened_from TEXT,
    item_version TEXT,
    item_vector BLOB,
    item_ids BLOB,
    fact_keys BLOB,
    fact_numbers BLOB
);

CREATE TABLE page_views (
    ordinal INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    action TEXT NOT NULL,
    served TEXT NOT NULL,
    page_id INTEGER,
    offered_at INTEGER,
    opened_from TEXT,
    item_version TEXT,
    item_vector BLOB,
    item_ids BLOB,
    fact_keys BLOB,
    fact_numbers BLOB
);

CREATE TABLE exposure_encodings (
    slot INTEGER PRIMARY KEY,
    ordinal INTEGER NOT NULL,
    own_key BLOB NOT NULL,
    own_value BLOB NOT NULL,
    previous_key BLOB NOT NULL,
    previous_value BLOB NOT NULL
);

CREATE TABLE page_view_encodings (
    slot INTEGER PRIMARY KEY,
    ordinal INTEGER NOT NULL,
    own_key BLOB NOT NULL,
    own_value BLOB NOT NULL,
    previous_key BLOB NOT NULL,
    previous_value BLOB NOT NULL
);

CREATE TABLE recurrences (
    kind INTEGER PRIMARY KEY,
    version_id TEXT NOT NULL,
    length INTEGER NOT NULL,
    encoded_through INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    own BLOB NOT NULL,
    previous BLOB NOT NULL
);

CREATE TABLE open_requests (
    sequence INTEGER PRIMARY KEY,
    page_id INTEGER NOT NULL,
    time INTEGER NOT NULL,
    exposures_end INTEGER NOT NULL,
    log_row TEXT NOT NULL
);

CREATE TABLE clicks (
    page_id INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    time INTEGER NOT NULL
);

CREATE TABLE requests (
    sequence INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    log_row TEXT NOT NULL
);

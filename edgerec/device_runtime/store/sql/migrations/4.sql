-- Format 4: what a patch reads of the candidates of open requests, the labelled events of pages that have ended, the
-- patch of each model version, and the model to which all of it belongs (docs/personalization.md).

ALTER TABLE open_requests ADD COLUMN phi BLOB;

CREATE TABLE personal_events (
    sequence INTEGER PRIMARY KEY,
    version_id TEXT NOT NULL,
    time INTEGER NOT NULL,
    phi BLOB NOT NULL,
    logits BLOB NOT NULL,
    labels BLOB NOT NULL,
    checksum INTEGER
);

CREATE TABLE patches (
    version_id TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL,
    theta BLOB,
    events INTEGER NOT NULL,
    trained INTEGER,
    time INTEGER NOT NULL,
    through INTEGER NOT NULL,
    rollbacks INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    checksum INTEGER
);

CREATE TABLE personal_model (
    one INTEGER PRIMARY KEY,
    version_id TEXT NOT NULL,
    head_id TEXT NOT NULL,
    checksum INTEGER
);

-- Format 3: what mixing remembers of each kind of cards, as JSON in the one row of a table (docs/mixing.md).

CREATE TABLE mixing (
    one INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    checksum INTEGER
);

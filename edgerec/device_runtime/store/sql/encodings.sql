-- {kind} is `exposure` or `page_view`. A slot is the ordinal modulo the length of the window.

-- name: mark
SELECT version_id, length, encoded_through FROM recurrences WHERE kind = ?;

-- name: states
SELECT rows, own, previous FROM recurrences WHERE kind = ?;

-- name: write_states
INSERT OR REPLACE INTO recurrences (kind, version_id, length, encoded_through, rows, own, previous)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: write_encoding
INSERT OR REPLACE INTO {kind}_encodings (slot, ordinal, own_key, own_value, previous_key, previous_value)
VALUES (?, ?, ?, ?, ?, ?);

-- name: forget_states
DELETE FROM recurrences WHERE kind = ?;

-- name: forget_encodings
DELETE FROM {kind}_encodings;

-- name: window
SELECT ordinal, time, own_key, own_value, previous_key, previous_value, item_ids, fact_keys, fact_numbers
FROM {kind}_encodings JOIN {kind}s USING (ordinal)
WHERE ordinal >= ? ORDER BY ordinal;

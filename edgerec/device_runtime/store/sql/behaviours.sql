-- {kind} is `exposure` or `page_view`.

-- name: insert
INSERT INTO {kind}s (ordinal, time, item_id, seen, action, served, page_id, offered_at, opened_from,
                     item_version, item_vector, item_ids, fact_keys, fact_numbers)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: newest
SELECT ordinal, time FROM {kind}s ORDER BY ordinal DESC LIMIT 1;

-- name: counts
SELECT item_id, MAX(seen) FROM {kind}s GROUP BY item_id;

-- name: count
SELECT COUNT(*) FROM {kind}s;

-- name: set_item
UPDATE {kind}s
SET item_version = ?, item_vector = ?, item_ids = ?, fact_keys = ?, fact_numbers = ?
WHERE ordinal = ?;

-- name: since
SELECT ordinal, time, item_id, action, served, page_id, offered_at, opened_from,
       item_version, item_vector, item_ids, fact_keys, fact_numbers
FROM {kind}s WHERE ordinal >= ? ORDER BY ordinal;

-- name: some_since
SELECT ordinal, time, item_id, action, served, page_id, offered_at, opened_from,
       item_version, item_vector, item_ids, fact_keys, fact_numbers
FROM {kind}s WHERE ordinal >= ? ORDER BY ordinal LIMIT ?;

-- name: latest
SELECT ordinal, time, item_id, action, served, page_id, offered_at, opened_from,
       item_version, item_vector, item_ids, fact_keys, fact_numbers
FROM {kind}s ORDER BY ordinal DESC LIMIT ?;

-- name: first_since
SELECT ordinal FROM {kind}s WHERE time >= ? ORDER BY ordinal LIMIT 1;

-- name: delete
DELETE FROM {kind}s WHERE ordinal IN (SELECT ordinal FROM {kind}s WHERE ordinal < ? ORDER BY ordinal LIMIT ?);

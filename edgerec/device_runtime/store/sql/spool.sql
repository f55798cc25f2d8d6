-- name: create
INSERT INTO store (store_id, user_id, last_time, batch, lost, exposures_sent, page_views_sent)
VALUES (?, ?, 0, 0, 0, 0, 0);

-- name: identity
SELECT store_id, user_id, last_time FROM store;

-- name: marks
SELECT batch, lost, exposures_sent, page_views_sent, exposures_offered, page_views_offered, requests_offered FROM store;

-- name: offer
UPDATE store SET exposures_offered = ?, page_views_offered = ?, requests_offered = ?;

-- name: advance
UPDATE store
SET batch = ?, last_time = MAX(last_time, ?), exposures_sent = ?, page_views_sent = ?,
    exposures_offered = NULL, page_views_offered = NULL, requests_offered = NULL;

-- name: add_lost
UPDATE store SET lost = lost + ?;

-- name: exposures
SELECT time, ordinal, item_id, action, served, page_id, offered_at, opened_from
FROM exposures WHERE ordinal >= ? AND ordinal < ? ORDER BY ordinal;

-- name: page_views
SELECT time, ordinal, item_id, action, served, page_id, offered_at, opened_from
FROM page_views WHERE ordinal >= ? AND ordinal < ? ORDER BY ordinal;

-- name: requests
SELECT log_row FROM requests WHERE sequence < ? ORDER BY sequence;

-- name: oldest_exposures
SELECT time, ordinal FROM exposures WHERE ordinal >= ? ORDER BY ordinal LIMIT ?;

-- name: oldest_page_views
SELECT time, ordinal FROM page_views WHERE ordinal >= ? ORDER BY ordinal LIMIT ?;

-- name: oldest_requests
SELECT time, sequence FROM requests ORDER BY sequence LIMIT ?;

-- name: totals
SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM (
    SELECT LENGTH(action) + LENGTH(served) + 200 AS bytes FROM exposures WHERE ordinal >= ?
    UNION ALL SELECT LENGTH(action) + LENGTH(served) + 200 FROM page_views WHERE ordinal >= ?
    UNION ALL SELECT LENGTH(log_row) FROM requests);

-- name: exposure_bytes
SELECT time, ordinal, LENGTH(action) + LENGTH(served) + 200 FROM exposures WHERE ordinal >= ? ORDER BY ordinal;

-- name: page_view_bytes
SELECT time, ordinal, LENGTH(action) + LENGTH(served) + 200 FROM page_views WHERE ordinal >= ? ORDER BY ordinal;

-- name: request_bytes
SELECT time, sequence, LENGTH(log_row) FROM requests ORDER BY sequence;

-- name: delete_requests
DELETE FROM requests WHERE sequence < ?;

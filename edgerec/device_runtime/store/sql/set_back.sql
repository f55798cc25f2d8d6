-- ?1 is the present time, ?2 by how much times are ahead of it, ?3 the latest time that is not ahead.

-- name: latest_good
SELECT MAX(time) FROM (
    SELECT MAX(time) AS time FROM exposures WHERE time <= ?1 UNION ALL SELECT MAX(time) FROM page_views WHERE time <= ?1
    UNION ALL SELECT MAX(time) FROM open_requests WHERE time <= ?1
    UNION ALL SELECT MAX(time) FROM requests WHERE time <= ?1);

-- name: ahead_and_sent
SELECT EXISTS (SELECT 1 FROM exposures WHERE time > ?1 AND ordinal < ?2)
    OR EXISTS (SELECT 1 FROM page_views WHERE time > ?1 AND ordinal < ?3);

-- name: exposures
UPDATE exposures SET time = MAX(time - ?2, ?3), offered_at = MIN(offered_at, MAX(time - ?2, ?3)) WHERE time > ?1;

-- name: page_views
UPDATE page_views SET time = MAX(time - ?2, ?3), offered_at = MIN(offered_at, MAX(time - ?2, ?3)) WHERE time > ?1;

-- name: clicks
UPDATE clicks SET time = MAX(time - ?2, ?3) WHERE time > ?1;

-- name: personal_events
UPDATE personal_events SET time = MAX(time - ?2, ?3) WHERE time > ?1;

-- name: patches
UPDATE patches SET time = MIN(MAX(time - ?2, ?3), ?1), trained = MIN(trained, MAX(time - ?2, ?3), ?1) WHERE time > ?1;

-- name: open_requests
SELECT sequence, time, log_row FROM open_requests;

-- name: requests
SELECT sequence, time, log_row FROM requests;

-- name: write_open_request
UPDATE open_requests SET time = ?, log_row = ? WHERE sequence = ?;

-- name: write_request
UPDATE requests SET time = ?, log_row = ? WHERE sequence = ?;

-- name: last_time
UPDATE store SET last_time = MIN(last_time, ?1);

-- name: new_store
UPDATE store SET store_id = ?, batch = 0;

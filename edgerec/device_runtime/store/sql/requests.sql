-- name: click
INSERT INTO clicks (page_id, item_id, time) VALUES (?, ?, ?);

-- name: open
INSERT INTO open_requests (sequence, page_id, time, exposures_end, log_row, phi, checksum)
SELECT sequence, page_id, time, exposures_end, log_row, phi, checksum(CAST(sequence || char(31) || page_id || char(31) ||
    time || char(31) || exposures_end || char(31) || log_row || char(31) || ifnull(phi, 'null') AS BLOB))
FROM (SELECT ifnull(MAX(sequence), 0) + 1 AS sequence, ? AS page_id, ? AS time, ? AS exposures_end, ? AS log_row, ? AS phi
    FROM open_requests);

-- name: drop_phi
UPDATE open_requests SET phi = NULL WHERE phi IS NOT NULL AND sequence = (
    SELECT sequence FROM open_requests WHERE page_id = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2
);

-- name: open_pages
SELECT DISTINCT page_id FROM open_requests ORDER BY sequence;

-- name: page_of_each
SELECT page_id FROM open_requests;

-- name: open_on_page
SELECT sequence, time, exposures_end, log_row, phi FROM open_requests WHERE page_id = ? ORDER BY sequence LIMIT ?;

-- name: first_exposure
SELECT MIN(exposures_end) FROM open_requests;

-- name: exposed
SELECT DISTINCT item_id FROM exposures WHERE ordinal >= ? AND page_id = ?;

-- name: clicked
SELECT DISTINCT item_id FROM clicks WHERE page_id = ? AND time >= ?;

-- name: finish
INSERT INTO requests (time, log_row) VALUES (?, ?);

-- name: close
DELETE FROM open_requests WHERE sequence = ?;

-- name: forget_clicks
DELETE FROM clicks WHERE page_id = ?;

-- name: forget_all_clicks
DELETE FROM clicks;

-- name: last_time
SELECT MAX(time) FROM (SELECT time FROM open_requests UNION ALL SELECT time FROM requests);

-- name: counts
SELECT (SELECT COUNT(*) FROM open_requests), (SELECT COUNT(*) FROM requests);

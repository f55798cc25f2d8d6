-- name: click
INSERT INTO clicks (page_id, item_id, time) VALUES (?, ?, ?);

-- name: open
INSERT INTO open_requests (page_id, time, exposures_end, log_row, phi) VALUES (?, ?, ?, ?, ?);

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

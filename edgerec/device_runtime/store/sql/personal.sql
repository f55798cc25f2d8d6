-- name: newest
SELECT MAX(sequence) FROM (SELECT MAX(sequence) AS sequence FROM personal_events UNION ALL SELECT MAX(through) FROM patches);

-- name: add_events
INSERT INTO personal_events (sequence, version_id, time, phi, logits, labels) VALUES (?, ?, ?, ?, ?, ?);

-- name: events
SELECT sequence, phi, logits, labels FROM personal_events WHERE version_id = ? ORDER BY sequence;

-- name: counts
SELECT version_id, COUNT(*), SUM(LENGTH(labels)) FROM personal_events GROUP BY version_id;

-- name: drop_surplus
DELETE FROM personal_events WHERE sequence <= (
    SELECT MAX(sequence) FROM (
        SELECT sequence, SUM(LENGTH(labels)) OVER (ORDER BY sequence DESC) AS events FROM personal_events
    ) WHERE events > ?
);

-- name: drop_old_events
DELETE FROM personal_events WHERE time < ?;

-- name: drop_old_patches
DELETE FROM patches WHERE time < ?;

-- name: patch
SELECT user_id, theta, events, trained, time, through, rollbacks, outcome FROM patches WHERE version_id = ?;

-- name: versions
SELECT version_id FROM patches ORDER BY version_id;

-- name: write_patch
INSERT INTO patches (version_id, user_id, theta, events, trained, time, through, rollbacks, outcome)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (version_id) DO UPDATE SET
    user_id = excluded.user_id, theta = excluded.theta, events = excluded.events, trained = excluded.trained,
    time = excluded.time, through = excluded.through, rollbacks = excluded.rollbacks, outcome = excluded.outcome;

-- name: forget_events
DELETE FROM personal_events;

-- name: forget_patches
DELETE FROM patches;

-- name: forget_phi
UPDATE open_requests SET phi = NULL WHERE phi IS NOT NULL;

-- name: model
SELECT version_id, head_id FROM personal_model WHERE one = 1;

-- name: write_model
INSERT INTO personal_model (one, version_id, head_id) VALUES (1, ?, ?)
ON CONFLICT (one) DO UPDATE SET version_id = excluded.version_id, head_id = excluded.head_id;

-- name: state
SELECT state FROM mixing WHERE one = 1;

-- name: write_state
INSERT INTO mixing (one, state) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET state = excluded.state;

-- Format 2: each row has the checksum of its other columns (docs/device.md, "A damaged store").

ALTER TABLE store ADD COLUMN checksum INTEGER;
ALTER TABLE exposures ADD COLUMN checksum INTEGER;
ALTER TABLE page_views ADD COLUMN checksum INTEGER;
ALTER TABLE exposure_encodings ADD COLUMN checksum INTEGER;
ALTER TABLE page_view_encodings ADD COLUMN checksum INTEGER;
ALTER TABLE recurrences ADD COLUMN checksum INTEGER;
ALTER TABLE open_requests ADD COLUMN checksum INTEGER;
ALTER TABLE clicks ADD COLUMN checksum INTEGER;
ALTER TABLE requests ADD COLUMN checksum INTEGER;

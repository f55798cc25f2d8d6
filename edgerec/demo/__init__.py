"""`edgerec demo`: a page in the browser whose feed is re-ranked by a real client while the user scrolls and taps."""

DROP TABLE provider_totals;
DROP TABLE idempotency_keys;
DROP TABLE claim_timeline;
DROP TABLE claim_lines;
DROP TABLE claims;

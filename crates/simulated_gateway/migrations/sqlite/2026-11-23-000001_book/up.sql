-- What was asked under each idempotency key, how often, and the definite answer once there is one.
CREATE TABLE payments (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    payee TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    refund_attempts BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'approved', 'declined')),
    payment_id TEXT UNIQUE,
    paid_cents BIGINT,
    CHECK ((status = 'approved') = (payment_id IS NOT NULL AND paid_cents IS NOT NULL))
);
CREATE INDEX payments_by_reference ON payments (reference, id);

CREATE TABLE refunds (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'refunded', 'already_refunded', 'already_returned')),
    refund_id TEXT
);

-- The book: money that moved. Only ever added to.
CREATE TABLE book (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at_us BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund', 'return')),
    payment_key BIGINT NOT NULL REFERENCES payments (id),
    reference TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    entry_id TEXT NOT NULL UNIQUE
);
-- A payment is made once, and its money comes back once: as a refund or as a return.
CREATE UNIQUE INDEX book_money_out_once ON book (payment_key) WHERE kind = 'payment';
CREATE UNIQUE INDEX book_money_back_once ON book (payment_key) WHERE kind <> 'payment';
CREATE INDEX book_by_reference ON book (reference, kind, amount_cents);

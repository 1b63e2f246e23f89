-- One row a claim. `facts` is the saga itself as JSON; the other columns are what is searched for or compared.
CREATE TABLE sagas (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    claim_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    facts TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    revision BIGINT NOT NULL,
    due_at_us BIGINT,
    worker TEXT,
    stuck_reason TEXT,
    correlation_id TEXT NOT NULL,
    cause_id TEXT NOT NULL,
    traceparent TEXT,
    started_at_us BIGINT NOT NULL,
    updated_at_us BIGINT NOT NULL
);
CREATE INDEX sagas_due ON sagas (due_at_us) WHERE due_at_us IS NOT NULL;
CREATE INDEX sagas_by_state ON sagas (state, id);

-- Append-only. A pending transfer is ended by at most one other, and a transfer is undone by at most one other.
CREATE TABLE ledger_transfers (
    id TEXT PRIMARY KEY NOT NULL,
    claim_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    debit_account TEXT NOT NULL,
    credit_account TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    weight TEXT NOT NULL CHECK (weight IN ('pending', 'posted', 'void')),
    ends_pending TEXT UNIQUE,
    reverses TEXT UNIQUE,
    booked_at_us BIGINT NOT NULL
);
CREATE INDEX ledger_transfers_by_claim ON ledger_transfers (claim_id);

-- What is reserved or spent of the budget of a plan that has one.
CREATE TABLE plan_budgets (
    plan_group TEXT PRIMARY KEY NOT NULL,
    used_cents BIGINT NOT NULL
);

DROP TABLE plan_budgets;
DROP TABLE ledger_transfers;
DROP TABLE sagas;

//! A run in which everything holds, and one violation of each kind planted in it.

#![allow(clippy::unwrap_used, reason = "clippy does not see that the table of violations is a test")]

use checker::{
    Answer, Attempt, BookEntry, Claim, Content, Direction, End, Event, History, JournalRecord, Line, Observed,
    ProviderTotal, Read, Rule, Transfer, Try, Weight, check,
};

const NPI: &str = "1497775530";

fn content(number: i64) -> Content {
    let line = |fees| Line {
        service_date: "2026-03-28".to_owned(),
        submitted_procedure: "D0180".to_owned(),
        provider_fees_cents: fees,
        allowed_fees_cents: 0,
        member_coinsurance_cents: 0,
        member_copay_cents: 0,
    };
    Content {
        plan_group: "GRP-1".to_owned(),
        subscriber_id: format!("S{number}"),
        provider_npi: NPI.to_owned(),
        net_fee_cents: 300 * number,
        lines: vec![line(100 * number), line(200 * number)],
    }
}

fn answer(at_us: i64, status: u16, claim_id: Option<&str>) -> Try {
    let answer = Answer { at_us, status, claim_id: claim_id.map(str::to_owned) };
    Try { sent_at_us: at_us - 5, answer: Some(answer) }
}

fn attempt(number: i64, ends: &[End], tries: Vec<Try>) -> Attempt {
    Attempt { key: format!("key-{number}"), content: content(number), ends: ends.to_vec(), tries, voids: Vec::new() }
}

fn claim(number: i64, status: &str, version: i64, outcome_version: i64) -> Claim {
    Claim { id: format!("c{number}"), content: content(number), status: status.to_owned(), version, outcome_version }
}

fn transfer(claim: i64, kind: &str, [debit, credit]: [&str; 2], weight: Weight) -> Transfer {
    Transfer {
        id: format!("c{claim}.{kind}"),
        claim_id: format!("c{claim}"),
        debit: debit.to_owned(),
        credit: credit.to_owned(),
        amount_cents: 300 * claim,
        weight,
        ends_pending: None,
        reverses: None,
    }
}

/// The transfers of a claim that was paid.
fn paid(claim: i64) -> [Transfer; 3] {
    let accounts = ["budget", "payable"];
    let post = transfer(claim, "post", accounts, Weight::Posted);
    [
        transfer(claim, "reserve", accounts, Weight::Pending),
        transfer(claim, "disburse", ["payable", "cash"], Weight::Posted),
        Transfer { ends_pending: Some(format!("c{claim}.reserve")), ..post },
    ]
}

fn entry(claim: i64, direction: Direction) -> BookEntry {
    BookEntry { reference: format!("c{claim}"), direction, amount_cents: 300 * claim }
}

fn event(claim: i64, kind: &str, version: i64) -> Event {
    let claim_id = format!("c{claim}");
    Event {
        id: format!("{claim_id}.{kind}.{version}"),
        kind: kind.to_owned(),
        claim_id,
        version,
        content: "{}".to_owned(),
    }
}

fn record(claim: i64, version: i64) -> JournalRecord {
    JournalRecord { claim_id: format!("c{claim}"), version, content: (version == 1).then(|| content(claim)) }
}

fn read(at_us: i64, claim: i64, status: &str, outcome_version: i64) -> Read {
    let claim_id = format!("c{claim}");
    Read { at_us, sent_at_us: at_us - 5, claim_id, status: Some(status.to_owned()), outcome_version }
}

/// Claim 1 is settled after an answer was lost, 2 is declined, 3 is settled and then voided, 4 got no answer and is stored, 5 got
/// none and is not, 6 is refused.
fn good() -> (History, Observed) {
    let lost = Try { sent_at_us: 10, answer: None };
    let mut voided = attempt(3, &[End::Settled], vec![answer(30, 201, Some("c3"))]);
    voided.voids = vec![answer(90, 202, Some("c3"))];
    let attempts = vec![
        attempt(1, &[End::Settled], vec![lost.clone(), answer(20, 201, Some("c1")), answer(40, 200, Some("c1"))]),
        attempt(2, &[End::Unwound], vec![answer(25, 201, Some("c2"))]),
        voided,
        attempt(4, &[End::Settled], vec![lost.clone()]),
        attempt(5, &[End::Settled], vec![lost, answer(60, 503, None)]),
        attempt(6, &[End::Settled], vec![answer(61, 422, None)]),
    ];
    let reads = vec![
        read(50, 3, "submitted", 0),
        read(70, 3, "settled", 1),
        read(100, 3, "void_requested", 1),
        read(120, 3, "unwound", 2),
        read(120, 1, "settled", 1),
    ];
    let mut transfers: Vec<Transfer> = [1, 3, 4].into_iter().flat_map(paid).collect();
    let refund = transfer(3, "refund", ["cash", "payable"], Weight::Posted);
    let reverse = transfer(3, "reverse", ["payable", "budget"], Weight::Posted);
    let release = transfer(2, "release", ["budget", "payable"], Weight::Void);
    transfers.extend([
        Transfer { reverses: Some("c3.disburse".to_owned()), ..refund },
        Transfer { reverses: Some("c3.post".to_owned()), ..reverse },
        transfer(2, "reserve", ["budget", "payable"], Weight::Pending),
        Transfer { ends_pending: Some("c2.reserve".to_owned()), ..release },
    ]);
    let out = [1, 3, 4].map(|claim| entry(claim, Direction::Out));
    let submitted = [1, 2, 3, 4].map(|claim| event(claim, "claim.submitted", 1));
    let again = event(1, "claim.submitted", 1);
    let others = [event(3, "claim.void_requested", 2), event(3, "payment.unwound", 2), again];
    let observed = Observed {
        claims: vec![
            claim(1, "settled", 1, 1),
            claim(2, "unwound", 1, 1),
            claim(3, "unwound", 2, 2),
            claim(4, "settled", 1, 1),
        ],
        totals: vec![ProviderTotal { provider_npi: NPI.to_owned(), net_fee_cents: 1_500, claims: 2 }],
        transfers,
        book: out.into_iter().chain([entry(3, Direction::Back)]).collect(),
        events: Some(submitted.into_iter().chain(others).collect()),
        journal: Some([1, 2, 3, 4].map(|claim| record(claim, 1)).into_iter().chain([record(3, 2)]).collect()),
    };
    (History { attempts, reads }, observed)
}

#[test]
fn nothing_is_found_where_everything_holds() {
    let (history, observed) = good();
    let report = check(&history, &observed);
    assert_eq!(report.violations, []);
    let count = |what| report.counts[what];
    assert_eq!((count("attempts"), count("answered with 2xx"), count("duplicates absorbed")), (6, 3, 1));
    assert_eq!((count("settled"), count("unwound"), count("payments of the gateway")), (2, 2, 3));
}

type Plant = fn(&mut History, &mut Observed);

const PLANTED: &[(&str, &[Rule], Plant)] = &[
    ("an accepted claim is missing", &[Rule::NotLost], |_, o| drop(o.claims.remove(0))),
    ("an attempt is stored twice", &[Rule::NotDoubled], |_, o| {
        let copy = Claim { id: "c1again".to_owned(), ..o.claims[0].clone() };
        o.claims.push(copy);
    }),
    ("an attempt was answered with two ids", &[Rule::NotDoubled, Rule::NotLost], |h, _| {
        h.attempts[0].tries.push(answer(80, 201, Some("c1again")));
    }),
    ("two claims have one id", &[Rule::NotDoubled], |_, o| o.claims.push(o.claims[0].clone())),
    ("an amount of a line is another", &[Rule::Unchanged], |_, o| {
        o.claims[0].content.lines[1].provider_fees_cents += 1
    }),
    ("a claim without an answer is stored in part", &[Rule::Unchanged], |_, o| drop(o.claims[3].content.lines.pop())),
    ("a refused claim is stored", &[Rule::RefusedIsAbsent], |_, o| o.claims.push(claim(6, "settled", 1, 1))),
    ("a claim was never sent", &[Rule::WasSent], |_, o| o.claims.push(claim(9, "settled", 1, 1))),
    ("a claim has not ended", &[Rule::RightEnd], |_, o| o.claims[0].status = "submitted".to_owned()),
    ("a claim that must be paid is unwound", &[Rule::RightEnd], |_, o| o.claims[0].status = "unwound".to_owned()),
    ("a claim that must be declined is settled", &[Rule::RightEnd], |_, o| o.claims[1].status = "settled".to_owned()),
    ("a void that was accepted did nothing", &[Rule::RightEnd], |_, o| o.claims[2].status = "settled".to_owned()),
    ("a status went back", &[Rule::ReadsAdvance], |h, _| h.reads.push(read(140, 1, "submitted", 1))),
    ("a version went back", &[Rule::ReadsAdvance], |h, _| h.reads.push(read(140, 3, "unwound", 1))),
    ("a claim was found, and then not", &[Rule::ReadsAdvance], |h, _| {
        h.reads.push(Read { status: None, ..read(140, 3, "", 0) });
    }),
    ("an accepted claim was not found at once", &[Rule::ReadsAdvance], |h, _| {
        h.reads.push(Read { status: None, ..read(40, 2, "", 0) });
    }),
    ("a claim was paid twice", &[Rule::PaidOnce, Rule::CashIsBook], |_, o| o.book.push(entry(1, Direction::Out))),
    ("a claim was paid twice and got the money back once", &[Rule::PaidOnce], |_, o| {
        o.book.extend([entry(1, Direction::Out), entry(1, Direction::Back)]);
    }),
    ("a settled claim was not paid", &[Rule::PaidOnce, Rule::CashIsBook], |_, o| drop(o.book.remove(0))),
    ("an unwound claim was paid", &[Rule::PaidOnce, Rule::CashIsBook], |_, o| o.book.push(entry(2, Direction::Out))),
    ("the gateway paid for a claim that is not there", &[Rule::PaidOnce], |_, o| o.book.push(entry(7, Direction::Out))),
    ("the ledger books other cents than the gateway", &[Rule::CashIsBook], |_, o| o.transfers[1].amount_cents -= 1),
    ("a pending transfer stands", &[Rule::LedgerIsSound], |_, o| o.transfers.retain(|one| one.id != "c2.release")),
    ("a pending transfer ended twice", &[Rule::LedgerIsSound], |_, o| {
        let mut again = o.transfers.iter().find(|one| one.id == "c2.release").unwrap().clone();
        again.id.push('2');
        o.transfers.push(again);
    }),
    ("a transfer was reversed twice", &[Rule::LedgerIsSound], |_, o| {
        let mut again = o.transfers.iter().find(|one| one.id == "c3.reverse").unwrap().clone();
        again.id.push('2');
        o.transfers.push(again);
    }),
    ("a transfer reverses one that is not there", &[Rule::LedgerIsSound], |_, o| {
        o.transfers[1].reverses = Some("c1.nothing".to_owned());
    }),
    ("two transfers have one id", &[Rule::LedgerIsSound], |_, o| o.transfers.push(o.transfers[1].clone())),
    ("a transfer moves nothing", &[Rule::LedgerIsSound], |_, o| o.transfers[0].credit = o.transfers[0].debit.clone()),
    ("a total is too high", &[Rule::TotalsAreSums], |_, o| o.totals[0].net_fee_cents += 1),
    ("a total counts a claim too many", &[Rule::TotalsAreSums], |_, o| o.totals[0].claims += 1),
    ("a provider has a total without a claim", &[Rule::TotalsAreSums], |_, o| {
        o.totals.push(ProviderTotal { provider_npi: "1000000000".to_owned(), net_fee_cents: 1, claims: 1 });
    }),
    ("an event has no claim", &[Rule::EventHasClaim], |_, o| {
        o.events.as_mut().unwrap().push(event(8, "payment.settled", 1));
    }),
    ("an event is ahead of its claim", &[Rule::EventHasClaim, Rule::Journaled], |_, o| {
        o.events.as_mut().unwrap().push(event(1, "claim.void_requested", 2));
    }),
    ("an event has two contents", &[Rule::EventIsOne], |_, o| o.events.as_mut().unwrap()[0].content.push(' ')),
    ("an accepted claim is not in the journal", &[Rule::Journaled], |_, o| drop(o.journal.as_mut().unwrap().remove(0))),
    ("an accepted void is not in the journal", &[Rule::Journaled], |_, o| drop(o.journal.as_mut().unwrap().pop())),
    ("a published claim is not in the journal", &[Rule::Journaled], |_, o| drop(o.journal.as_mut().unwrap().remove(3))),
    ("the journal holds another content", &[Rule::Journaled], |_, o| {
        o.journal.as_mut().unwrap()[1].content.as_mut().unwrap().net_fee_cents += 1;
    }),
];

#[test]
fn each_planted_violation_is_found() {
    for (what, rules, plant) in PLANTED {
        let (mut history, mut observed) = good();
        plant(&mut history, &mut observed);
        let report = check(&history, &observed);
        for rule in *rules {
            assert!(report.of(*rule) > 0, "{what}: {rule:?} is not found in {:?}", report.violations);
        }
    }
}

#[test]
fn each_rule_has_a_planted_violation() {
    use Rule::*;
    // A new rule does not compile here until it is listed.
    let listed = |rule: &Rule| match rule {
        NotLost | NotDoubled | Unchanged | RefusedIsAbsent | WasSent | RightEnd | ReadsAdvance | PaidOnce
        | CashIsBook | LedgerIsSound | TotalsAreSums | EventHasClaim | EventIsOne | Journaled => (),
    };
    let all = [
        NotLost,
        NotDoubled,
        Unchanged,
        RefusedIsAbsent,
        WasSent,
        RightEnd,
        ReadsAdvance,
        PaidOnce,
        CashIsBook,
        LedgerIsSound,
        TotalsAreSums,
        EventHasClaim,
        EventIsOne,
        Journaled,
    ];
    all.iter().for_each(listed);
    for rule in all {
        assert!(PLANTED.iter().any(|(_, rules, _)| rules.contains(&rule)), "{rule:?} has no planted violation");
    }
}

#[test]
fn what_is_uncertain_is_no_violation() {
    let (mut history, mut observed) = good();
    // A void without an answer may have been processed, and reads that overlap may be answered in any order.
    history.attempts[0].voids = vec![Try { sent_at_us: 100, answer: None }];
    history.reads.push(Read { sent_at_us: 60, ..read(130, 3, "submitted", 0) });
    assert_eq!(check(&history, &observed).violations, []);
    observed.claims[0] = claim(1, "unwound", 2, 2);
    observed.totals[0] = ProviderTotal { provider_npi: NPI.to_owned(), net_fee_cents: 1_200, claims: 1 };
    observed.book.push(entry(1, Direction::Back));
    let refund = transfer(1, "refund", ["cash", "payable"], Weight::Posted);
    observed.transfers.push(Transfer { reverses: Some("c1.disburse".to_owned()), ..refund });
    assert_eq!(check(&history, &observed).violations, []);
    // The topics were deleted, and there is no journal.
    (observed.events, observed.journal) = (None, None);
    assert_eq!(check(&history, &observed).violations, []);
}

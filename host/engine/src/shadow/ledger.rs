//! What a candidate may cost, and what it did cost.

/// What a plugin is asked. Each kind is sampled by itself, so that small calls do not crowd out large ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A transform's rows.
    Process,
    /// Rows into groups.
    Fold,
    /// Accumulators into others.
    Merge,
    /// Groups into results.
    Finish,
    /// Groups of tables' rows into rows.
    Assemble,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Process, Self::Fold, Self::Merge, Self::Finish, Self::Assemble];

    /// What the plugin's function is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Fold => "fold",
            Self::Merge => "merge",
            Self::Finish => "finish",
            Self::Assemble => "assemble",
        }
    }
}

/// How much a candidate is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShadowOptions {
    /// The share of the live plugin's rows that it gets, at most: above 0, up to 1.
    pub sample: f64,
    /// Processor time that it may take, with comparing and all else that sampling adds, as a share of the live plugin's.
    pub budget: f64,
}

/// Rows of one kind of call; of `merge`, `finish` and `assemble`, groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Those that the live plugin got.
    pub seen: u64,
    /// Those that the candidate got, too.
    pub sampled: u64,
    /// Those that it was to get, if that had not cost more than it may.
    pub over_budget: u64,
    /// Those that it was to get, if it had not been at work on others.
    pub while_busy: u64,
}

/// Nanoseconds of processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// In all calls of the live plugin.
    pub live: u64,
    /// In those of them that the candidate answered, too.
    pub live_sampled: u64,
    /// In the candidate's calls.
    pub candidate: u64,
    /// For handing calls over, comparing answers, and starting.
    pub sampling: u64,
    /// Rows, or groups, of the calls that both answered.
    pub rows: u64,
}

/// A call that the live plugin answered.
#[derive(Debug, Clone, Copy)]
pub struct LiveCall {
    /// What it was asked.
    pub kind: Kind,
    /// How many rows or groups.
    pub rows: u64,
    /// Its processor time.
    pub nanos: u64,
    /// Whether an answer of the candidate could be compared.
    pub is_comparable: bool,
}

/// A call that the candidate gets, and what that is expected to cost.
#[derive(Debug, Clone, Copy)]
pub struct Reservation {
    call: LiveCall,
    nanos: u64,
}

/// Of so many comparable calls in a row none went through: the candidate is asked no more.
const FAILED_CALLS: u32 = 5;

/// Decides which calls a candidate gets.
#[derive(Debug)]
pub struct Ledger {
    options: ShadowOptions,
    asked: [Asked; Kind::ALL.len()],
    /// Of each kind, rows of calls that were examined, and nanoseconds that this took.
    examined: [(u64, u64); Kind::ALL.len()],
    spent: Spent,
    /// What calls that wait are expected to cost.
    reserved: u64,
    failed_calls: u32,
    suspended: Option<String>,
}

impl Ledger {
    /// Nothing was asked yet.
    pub fn new(options: ShadowOptions) -> Self {
        Self {
            options,
            asked: Default::default(),
            examined: Default::default(),
            spent: Spent::default(),
            reserved: 0,
            failed_calls: 0,
            suspended: None,
        }
    }

    /// Notes a call of the live plugin; gives a reservation if the candidate is to answer it, too.
    pub fn admit(&mut self, call: LiveCall) -> Option<Reservation> {
        self.spent.live += call.nanos;
        let nanos = self.expected(call);
        let asked = &mut self.asked[call.kind as usize];
        asked.seen += call.rows;
        let is_due = (asked.sampled + call.rows) as f64 <= self.options.sample * asked.seen as f64;
        if self.suspended.is_some() || !call.is_comparable || !is_due {
            return None;
        }
        let after = self.spent.candidate + self.spent.sampling + self.reserved + nanos;
        if after as f64 > self.options.budget * self.spent.live as f64 {
            asked.over_budget += call.rows;
            return None;
        }
        asked.sampled += call.rows;
        self.reserved += nanos;
        Some(Reservation { call, nanos })
    }

    /// What a call will cost, rather too much than too little: a quarter more than those before it, or twice what the
    /// live plugin took if there were none.
    fn expected(&self, call: LiveCall) -> u64 {
        match self.examined[call.kind as usize] {
            (0, _) => 2 * call.nanos,
            (rows, nanos) => (1.25 * nanos as f64 / rows as f64 * call.rows as f64) as u64,
        }
    }

    /// Takes a reservation back: the candidate was at work.
    pub fn release(&mut self, reservation: Reservation) {
        let Reservation { call, nanos } = reservation;
        let asked = &mut self.asked[call.kind as usize];
        asked.sampled -= call.rows;
        asked.while_busy += call.rows;
        self.reserved -= nanos;
    }

    /// The candidate answered, in so many nanoseconds, and all in all that took so many.
    pub fn settle(&mut self, reservation: Reservation, candidate: u64, all: u64) {
        let Reservation { call, nanos } = reservation;
        self.reserved -= nanos;
        let (rows, spent) = &mut self.examined[call.kind as usize];
        *rows += call.rows;
        *spent += all;
        self.spent.candidate += candidate;
        self.spent.live_sampled += call.nanos;
        self.spent.rows += call.rows;
        self.spend(all.saturating_sub(candidate));
    }

    /// Something else cost so many nanoseconds.
    pub fn spend(&mut self, nanos: u64) {
        self.spent.sampling += nanos;
    }

    /// Whether anything of a call went through that did for the live plugin; with the reason if not.
    pub fn judge(&mut self, failure: Option<&str>) {
        let Some(failure) = failure else {
            self.failed_calls = 0;
            return;
        };
        self.failed_calls += 1;
        if self.failed_calls >= FAILED_CALLS {
            self.suspend(format!("{FAILED_CALLS} calls in a row failed, the last one so: {failure}"));
        }
    }

    /// The candidate is asked no more.
    pub fn suspend(&mut self, reason: String) {
        self.suspended.get_or_insert(reason);
    }

    /// Why it is asked no more, if so.
    pub fn suspended(&self) -> Option<&str> {
        self.suspended.as_deref()
    }

    /// What was asked, by kind; only those of which there were calls.
    pub fn asked(&self) -> Vec<(Kind, Asked)> {
        Kind::ALL.into_iter().zip(self.asked).filter(|(_, asked)| asked.seen > 0).collect()
    }

    /// What it cost.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// How much may be asked.
    pub fn options(&self) -> ShadowOptions {
        self.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(rows: u64, nanos: u64) -> LiveCall {
        LiveCall { kind: Kind::Process, rows, nanos, is_comparable: true }
    }

    /// Runs so many calls of 100 rows, of which each takes the live plugin 1000 ns, and the candidate `cost`.
    fn run(sample: f64, budget: f64, calls: u64, cost: u64) -> Ledger {
        let mut ledger = Ledger::new(ShadowOptions { sample, budget });
        for _ in 0..calls {
            if let Some(reservation) = ledger.admit(call(100, 1_000)) {
                ledger.settle(reservation, cost, cost + cost / 10);
            }
        }
        ledger
    }

    fn share(ledger: &Ledger) -> f64 {
        let spent = ledger.spent();
        (spent.candidate + spent.sampling) as f64 / spent.live as f64
    }

    #[test]
    fn a_candidate_gets_its_share_of_the_rows_and_no_more() {
        for sample in [0.1, 0.25, 1.0] {
            let (_, asked) = run(sample, 10.0, 1_000, 1_000).asked()[0];
            assert_eq!(asked.seen, 100_000);
            let sampled = asked.sampled as f64 / asked.seen as f64;
            assert!(sampled <= sample && sampled > sample - 0.005, "{sampled} instead of {sample}");
            assert_eq!(asked.over_budget, 0);
        }
    }

    #[test]
    fn a_slow_candidate_is_asked_less_often_so_that_it_stays_within_its_budget() {
        for cost in [1_000, 5_000, 20_000] {
            let ledger = run(0.1, 0.12, 10_000, cost);
            assert!(share(&ledger) <= 0.12, "{} at {cost} ns", share(&ledger));
            assert!(share(&ledger) > 0.09, "{} at {cost} ns", share(&ledger));
        }
        assert!(run(0.1, 0.12, 10_000, 20_000).asked()[0].1.over_budget > 0);
    }

    #[test]
    fn what_waits_counts_as_spent() {
        let mut ledger = Ledger::new(ShadowOptions { sample: 1.0, budget: 1.5 });
        let mut waiting: Vec<Option<Reservation>> = (0..5).map(|_| ledger.admit(call(100, 1_000))).collect();
        let admitted: Vec<bool> = waiting.iter().map(Option::is_some).collect();
        assert_eq!(admitted, [false, true, true, true, false]);
        ledger.release(waiting[1].take().unwrap());
        assert_eq!(ledger.asked()[0].1, Asked { seen: 500, sampled: 200, over_budget: 200, while_busy: 100 });
        assert!(ledger.admit(call(100, 1_000)).is_some());
    }

    #[test]
    fn a_candidate_that_fails_call_after_call_is_asked_no_more_and_one_that_recovers_is() {
        let mut ledger = Ledger::new(ShadowOptions { sample: 1.0, budget: 10.0 });
        for _ in 0..FAILED_CALLS - 1 {
            ledger.judge(Some("it trapped"));
        }
        ledger.judge(None);
        for _ in 0..FAILED_CALLS - 1 {
            ledger.judge(Some("it trapped"));
        }
        assert!(ledger.admit(call(1, 1)).is_some());
        ledger.judge(Some("it trapped again"));
        assert!(ledger.admit(call(1, 1)).is_none());
        assert!(ledger.suspended().unwrap().contains("it trapped again"));
    }

    #[test]
    fn kinds_of_calls_do_not_take_each_others_share() {
        let mut ledger = Ledger::new(ShadowOptions { sample: 0.5, budget: 10.0 });
        for _ in 0..100 {
            for (kind, rows) in [(Kind::Fold, 1_000), (Kind::Finish, 10)] {
                ledger.admit(LiveCall { kind, rows, nanos: 1_000, is_comparable: true });
            }
        }
        let sampled: Vec<u64> = ledger.asked().iter().map(|(_, asked)| asked.sampled).collect();
        assert_eq!(sampled, [50_000, 500]);
    }

    #[test]
    fn calls_that_cannot_be_compared_are_seen_and_not_sampled() {
        let mut ledger = Ledger::new(ShadowOptions { sample: 1.0, budget: 10.0 });
        assert!(ledger.admit(LiveCall { is_comparable: false, ..call(100, 1_000) }).is_none());
        assert_eq!(ledger.asked()[0].1, Asked { seen: 100, ..Asked::default() });
    }
}

//! How much one caller may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::asker::Asker;

/// What may be asked at once is what may be asked in this time.
const BURST: Duration = Duration::from_secs(2);

/// Callers that are told apart; further ones share one allowance, so that nobody fills the memory with addresses.
const TOLD_APART: usize = 10_000;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payer {
    /// Those with one token, wherever they come from.
    Token(String),
    /// Those without a token that the host knows, from one address; of IPv6, from one network of 64 bits.
    Address(IpAddr),
    /// Those beyond what is told apart.
    Others,
}

impl Payer {
    /// Who pays for a request.
    pub fn of(asker: Option<&Asker>, from: IpAddr) -> Self {
        match (asker.and_then(Asker::name), from) {
            (Some(name), _) => Self::Token(name.to_owned()),
            (None, IpAddr::V6(address)) => {
                let network = address.to_bits() >> 64 << 64;
                Self::Address(Ipv6Addr::from_bits(network).into())
            }
            (None, address) => Self::Address(address),
        }
    }
}

/// Allows so many requests a second to each payer, and twice as many at once.
#[derive(Debug)]
pub struct Rates {
    /// What one request costs: the time in which it is given back.
    cost: Duration,
    /// When each payer will have the whole allowance again.
    whole: Mutex<HashMap<Payer, Instant>>,
}

impl Rates {
    /// So many a second.
    pub fn new(requests_per_second: u32) -> Self {
        Self { cost: Duration::from_secs(1) / requests_per_second.max(1), whole: Mutex::default() }
    }

    /// Takes a request from an allowance.
    ///
    /// # Errors
    /// The time after which there is enough again.
    pub fn take(&self, payer: Payer, now: Instant) -> Result<(), Duration> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole.len() >= TOLD_APART {
            whole.retain(|_, at| *at > now);
        }
        let is_known = whole.len() < TOLD_APART || whole.contains_key(&payer);
        let at = whole.entry(if is_known { payer } else { Payer::Others }).or_insert(now);
        let after = (*at).max(now) + self.cost;
        let debt = after.duration_since(now).saturating_sub(BURST);
        if debt > Duration::ZERO {
            return Err(debt);
        }
        *at = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str) -> Payer {
        Payer::Token(name.to_owned())
    }

    #[test]
    fn one_payer_gets_no_more_than_the_rate_and_the_others_theirs() {
        let (rates, now) = (Rates::new(10), Instant::now());
        let taken = |payer: &Payer, at| (0..1_000).take_while(|_| rates.take(payer.clone(), at).is_ok()).count();
        assert_eq!(taken(&token("a"), now), 20, "twice a second's at once");
        assert_eq!(taken(&token("a"), now), 0);
        assert_eq!(taken(&token("b"), now), 20);
        assert_eq!(taken(&token("a"), now + Duration::from_secs(1)), 10);
        assert_eq!(taken(&token("a"), now + Duration::from_secs(60)), 20, "no more is saved up");
    }

    #[test]
    fn whoever_waits_as_long_as_it_is_told_is_answered() {
        let (rates, now) = (Rates::new(1), Instant::now());
        let wait = loop {
            if let Err(wait) = rates.take(token("a"), now) {
                break wait;
            }
        };
        assert!(wait > Duration::ZERO && rates.take(token("a"), now + wait).is_ok());
    }

    #[test]
    fn addresses_beyond_number_share_one_allowance() {
        let (rates, now) = (Rates::new(10), Instant::now());
        let address = |number: usize| Payer::Address(IpAddr::V4((number as u32).into()));
        let answered = (0..TOLD_APART + 500).filter(|number| rates.take(address(*number), now).is_ok()).count();
        assert_eq!(answered, TOLD_APART + 20);
        assert!(rates.whole.lock().unwrap().len() <= TOLD_APART + 1);
        assert!(rates.take(address(usize::MAX), now + BURST * 2).is_ok());
    }

    #[test]
    fn an_address_of_ipv6_is_its_network() {
        let of = |text: &str| Payer::of(None, text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        let named = Asker::Named { name: "ci".to_owned(), role: azenha_model::access::Role::Viewer };
        assert_eq!(Payer::of(Some(&named), "10.0.0.1".parse().unwrap()), token("ci"));
    }
}

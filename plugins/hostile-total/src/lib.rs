//! Adds up orders as `order-total` does, and is wrong in the way that its configuration names, for the host's tests:
//! `{"do": "forget_discounts"}`.

use azenha_sdk::{Assemble, Decimal, Problem, Rejection, Row, Table, Tables};
use serde::Deserialize;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What to do with each order.
    #[serde(rename = "do")]
    deed: Deed,
}

/// Ways to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Nothing wrong.
    Behave,
    /// `bruto` is without what was taken off.
    ForgetDiscounts,
    /// Lines whose order is gone make a row.
    KeepGone,
    /// Panics at an order without lines.
    PanicOnEmpty,
    /// Panics at every order.
    PanicOnEverything,
}

/// What is read of a line.
#[derive(Row)]
pub struct Line {
    quantidade: i64,
    valor: Decimal<2>,
    desconto: Decimal<2>,
}

/// An order and its lines.
#[derive(Tables)]
pub struct Order<'a> {
    pedidos: Table<'a, ()>,
    itens: Table<'a, Line>,
}

/// What an order comes to.
#[derive(Default, Row)]
pub struct Total {
    linhas: i64,
    unidades: i64,
    bruto: Decimal<2>,
    desconto: Decimal<2>,
    liquido: Decimal<2>,
}

/// Adds up lines.
pub struct HostileTotal {
    deed: Deed,
}

impl HostileTotal {
    fn add(&self, total: Total, line: &Line) -> Option<Total> {
        let bruto = total.bruto.checked_add(line.valor)?;
        let forgets = self.deed == Deed::ForgetDiscounts;
        Some(Total {
            linhas: total.linhas + 1,
            unidades: total.unidades.checked_add(line.quantidade)?,
            bruto: if forgets { bruto } else { bruto.checked_add(line.desconto)? },
            desconto: total.desconto.checked_add(line.desconto)?,
            liquido: total.liquido.checked_add(line.valor)?,
        })
    }
}

impl Assemble for HostileTotal {
    type Config = Config;
    type Key<'a> = ();
    type Tables<'a> = Order<'a>;
    type Output<'a> = Total;

    fn open(config: Config) -> Result<Self, Problem> {
        Ok(Self { deed: config.deed })
    }

    fn assemble(&self, _key: (), order: Order<'_>) -> Result<Option<Total>, Rejection> {
        if order.pedidos.is_empty() && self.deed != Deed::KeepGone {
            return Ok(None);
        }
        assert!(self.deed != Deed::PanicOnEverything, "this plugin panics at every order");
        assert!(self.deed != Deed::PanicOnEmpty || !order.itens.is_empty(), "the order has no lines");
        let total = order.itens.iter().try_fold(Total::default(), |total, line| self.add(total, &line));
        Ok(Some(total.ok_or("the sums of the order's lines are too large")?))
    }
}

azenha_sdk::assemble!(HostileTotal);

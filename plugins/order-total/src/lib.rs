//! What an order comes to. Money is added exactly; an order whose sums have no room in a decimal is refused.

use azenha_sdk::{Assemble, Decimal, NoConfig, Problem, Rejection, Row, Table, Tables};

/// What is read of a line.
#[derive(Row)]
pub struct Line {
    quantidade: i64,
    valor: Decimal<2>,
    desconto: Decimal<2>,
}

/// An order and its lines. Of the order it is enough to know that it is there.
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

impl Total {
    /// With one more line; none if a sum becomes too large.
    fn checked_add(self, line: &Line) -> Option<Self> {
        Some(Self {
            linhas: self.linhas + 1,
            unidades: self.unidades.checked_add(line.quantidade)?,
            // What was paid and what was taken off: the price on the shelf.
            bruto: self.bruto.checked_add(line.valor)?.checked_add(line.desconto)?,
            desconto: self.desconto.checked_add(line.desconto)?,
            liquido: self.liquido.checked_add(line.valor)?,
        })
    }
}

/// Adds up lines.
pub struct OrderTotal;

impl Assemble for OrderTotal {
    type Config = NoConfig;
    type Key<'a> = ();
    type Tables<'a> = Order<'a>;
    type Output<'a> = Total;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn assemble(&self, _key: (), order: Order<'_>) -> Result<Option<Total>, Rejection> {
        if order.pedidos.is_empty() {
            return Ok(None);
        }
        let total = order.itens.iter().try_fold(Total::default(), |total, line| total.checked_add(&line));
        Ok(Some(total.ok_or("the sums of the order's lines are too large")?))
    }
}

azenha_sdk::assemble!(OrderTotal);

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::assemble_cases::<super::OrderTotal>();
    }
}

//! The keys of the rows in the shop's tables: what a change needs to know so that it meets a row.

use anyhow::{Context, Result};

use crate::{repository, text_of};

/// A line of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: i64,
    /// The order that it belongs to.
    pub order: i64,
    /// The product that it names.
    pub product: i64,
}

/// The keys of all rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// The ids of the rows of `pedidos`.
    pub orders: Vec<i64>,
    /// The rows of `itens_pedido`.
    pub lines: Vec<Line>,
    /// The ids of the rows of `produtos`.
    pub products: Vec<i64>,
}

impl Tables {
    /// The keys of the first `orders` orders of the real data, of their lines, and of the products that these name.
    pub fn of_first_orders(orders: usize) -> Result<Self> {
        let orders: Vec<i64> = numbers("pedidos", 0)?.into_iter().take(orders).collect();
        let [ids, owners, named] = [0, 1, 2].map(|column| numbers("itens_pedido", column));
        let rows = ids?.into_iter().zip(owners?).zip(named?);
        let lines = rows.map(|((id, order), product)| Line { id, order, product });
        let lines: Vec<Line> = lines.filter(|line| orders.contains(&line.order)).collect();
        let products = numbers("produtos", 0)?.into_iter();
        let products = products.filter(|id| lines.iter().any(|line| line.product == *id)).collect();
        Ok(Self { orders, lines, products })
    }

    /// The keys of all of the real data.
    pub fn of_all() -> Result<Self> {
        let all = Self::of_first_orders(usize::MAX)?;
        Ok(Self { products: numbers("produtos", 0)?, ..all })
    }
}

/// The text of a table of the real data, with a line of column names.
pub fn csv(table: &str) -> Result<String> {
    text_of(&repository().join(format!("pipelines/orders/data/{table}.csv.gz")))
}

/// A column of numbers. No column before it holds a comma.
fn numbers(table: &str, column: usize) -> Result<Vec<i64>> {
    let text = csv(table)?;
    let number = |line: &str| line.split(',').nth(column).and_then(|field| field.parse().ok());
    text.lines().skip(1).map(|line| number(line).with_context(|| format!("{table}: {line}"))).collect()
}

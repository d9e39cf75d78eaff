//! The lines of a shop platform's orders: a row for each item. An item that is broken is refused by itself, and the other
//! lines of its order go on.

use std::borrow::Cow;

use azenha_sdk::{Decimal, Json, NoConfig, Problem, Rejection, Row, Transform};
use serde::Deserialize;

/// Units that a line has at most: more are a mistake, and a few such mistakes would be too much for sums in SQL.
const MOST_UNITS: i64 = 1_000_000;

/// Cents that a line is worth at most, for the same reason: ten billions.
const MOST_CENTS: i128 = 1_000_000_000_000;

/// What is read of an order.
#[derive(Row)]
pub struct Order<'a> {
    items: Json<&'a str>,
}

/// A line; the order's other columns are passed on.
#[derive(Row)]
pub struct Line<'a> {
    /// Its place among the items, from 1.
    line: i64,
    sku: Cow<'a, str>,
    product_id: Cow<'a, str>,
    product: Option<Cow<'a, str>>,
    seller: Option<Cow<'a, str>>,
    quantity: i64,
    price: Decimal<2>,
    total: Decimal<2>,
}

/// An item as the platform writes it; prices are cents.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    product_id: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    seller: Option<Cow<'a, str>>,
    quantity: i64,
    selling_price: i64,
}

impl<'a> Line<'a> {
    fn of(index: usize, item: Json<&'a str>) -> Result<Self, String> {
        let Item { id, product_id, name, seller, quantity, selling_price } = item.read()?;
        if quantity < 1 {
            return Err("a quantity below 1".to_owned());
        }
        if quantity > MOST_UNITS {
            return Err(format!("a quantity above {MOST_UNITS}"));
        }
        if selling_price < 0 {
            return Err("a price below zero".to_owned());
        }
        let total = i128::from(quantity) * i128::from(selling_price);
        if total > MOST_CENTS {
            return Err(format!("a total above {MOST_CENTS} cents"));
        }
        Ok(Self {
            line: index as i64 + 1,
            sku: id,
            product_id,
            product: name,
            seller,
            quantity,
            price: Decimal(selling_price.into()),
            total: Decimal(total),
        })
    }
}

/// The transform.
pub struct OrderLines;

impl Transform for OrderLines {
    type Config = NoConfig;
    type Input<'a> = Order<'a>;
    type Output<'a> = Vec<Result<Line<'a>, Rejection>>;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn process<'a>(&self, order: Order<'a>) -> Result<Self::Output<'a>, Rejection> {
        let items = order.items.items().map_err(|_| Rejection::of_part("items", "no list of items"))?;
        let line = |(index, item)| {
            Line::of(index, item).map_err(|reason| Rejection::of_part(format!("items[{index}]"), reason))
        };
        Ok(items.into_iter().enumerate().map(line).collect())
    }

    fn passes(&self, column: &str) -> Option<String> {
        (column != "items" && !column.starts_with('$')).then(|| column.to_owned())
    }
}

azenha_sdk::transform!(OrderLines);

#[cfg(test)]
mod tests {
    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::transform_cases::<super::OrderLines>();
    }
}

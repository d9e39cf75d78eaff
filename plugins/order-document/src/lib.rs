//! The document of an order: its customer, and its lines with what was bought and what was paid for it.

use azenha_sdk::{Assemble, Decimal, Json, NoConfig, Problem, Rejection, Row, Table, Tables, Timestamp};
use serde::Serialize;

/// What is read of an order.
#[derive(Row)]
pub struct Order {
    cliente_id: i64,
    loja_id: i64,
    criado_em: Timestamp,
}

/// What is read of a line and its product, which may be missing.
#[derive(Row)]
pub struct Item<'a> {
    id: i64,
    produto_id: i64,
    produto: Option<&'a str>,
    departamento: Option<&'a str>,
    marca: Option<&'a str>,
    quantidade: i64,
    valor: Decimal<2>,
    desconto: Decimal<2>,
}

/// An order and its lines.
#[derive(Tables)]
pub struct OrderTables<'a> {
    pedidos: Table<'a, Order>,
    itens: Table<'a, Item<'a>>,
}

/// The document; the host adds its key.
#[derive(Row)]
pub struct Document {
    cliente_id: i64,
    loja_id: i64,
    criado_em: Timestamp,
    linhas: i64,
    valor: Decimal<2>,
    itens: Json<String>,
}

/// A line in the document.
#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    produto_id: i64,
    produto: Option<&'a str>,
    departamento: Option<&'a str>,
    marca: Option<&'a str>,
    quantidade: i64,
    bruto: Decimal<2>,
    desconto: Decimal<2>,
    valor: Decimal<2>,
}

impl<'a> Line<'a> {
    fn of(item: Item<'a>) -> Result<Self, Rejection> {
        let Item { id, produto_id, produto, departamento, marca, quantidade, valor, desconto } = item;
        // What was paid and what was taken off: the price on the shelf.
        let bruto = valor.checked_add(desconto).ok_or("the amounts of a line are too large")?;
        Ok(Self { id, produto_id, produto, departamento, marca, quantidade, bruto, desconto, valor })
    }
}

/// Makes documents.
pub struct OrderDocument;

impl Assemble for OrderDocument {
    type Config = NoConfig;
    type Key<'a> = ();
    type Tables<'a> = OrderTables<'a>;
    type Output<'a> = Document;

    fn open(_config: NoConfig) -> Result<Self, Problem> {
        Ok(Self)
    }

    fn assemble(&self, _key: (), tables: OrderTables<'_>) -> Result<Option<Document>, Rejection> {
        let Some(Order { cliente_id, loja_id, criado_em }) = tables.pedidos.first() else { return Ok(None) };
        let mut lines = tables.itens.iter().map(Line::of).collect::<Result<Vec<_>, _>>()?;
        lines.sort_unstable_by_key(|line| line.id);
        let valor = lines.iter().try_fold(Decimal::default(), |sum: Decimal<2>, line| sum.checked_add(line.valor));
        Ok(Some(Document {
            cliente_id,
            loja_id,
            criado_em,
            linhas: lines.len() as i64,
            valor: valor.ok_or("the sum of the order's lines is too large")?,
            itens: Json::of(&lines)?,
        }))
    }
}

azenha_sdk::assemble!(OrderDocument);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_hold() {
        azenha_sdk::testing::assemble_cases::<OrderDocument>();
    }

    /// A case reads the document's numbers as floats; this is its text.
    #[test]
    fn amounts_are_written_with_all_their_digits() {
        let (produto, departamento, marca) = (Some("Pão \"de forma\""), None, None);
        let (valor, desconto) = (Decimal(10_i128.pow(37) + 10), Decimal(50));
        let item = Item { id: 1, produto_id: 2, produto, departamento, marca, quantidade: 3, valor, desconto };
        let line = Json::of(&Line::of(item).unwrap()).unwrap().0;
        let expected = concat!(
            r#"{"id":1,"produto_id":2,"produto":"Pão \"de forma\"","departamento":null,"marca":null,"quantidade":3,"#,
            r#""bruto":100000000000000000000000000000000000.60,"desconto":0.50,"#,
            r#""valor":100000000000000000000000000000000000.10}"#,
        );
        assert_eq!(line, expected);
    }
}

//! Random changes to the shop's tables: a function of a seed and of the keys that are there.

use fastrand::Rng;

use super::change::Change;
use super::tables::{Line, Tables};

/// Most changes in a transaction.
const MOST_CHANGES: usize = 6;
/// Most lines of a new order.
const MOST_LINES: usize = 6;

/// Changes that become visible at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What it does.
    pub changes: Vec<Change>,
    /// How: statements in the SQL that PostgreSQL and MariaDB share.
    pub statements: Vec<String>,
}

impl Transaction {
    /// The id of the row that the first INSERT into a table makes.
    pub fn row_of(&self, table: &str) -> Option<i64> {
        let begin = format!("INSERT INTO {table} VALUES (");
        let row = self.statements.iter().find_map(|statement| statement.strip_prefix(&begin))?;
        row.split(',').next()?.parse().ok()
    }
}

/// An endless sequence of transactions.
#[derive(Debug, Clone)]
pub struct Changes {
    random: Rng,
    tables: Tables,
    gone_orders: Vec<i64>,
    gone_products: Vec<i64>,
    last_id: i64,
}

impl Changes {
    /// The changes of a seed to tables with these rows.
    pub fn new(seed: u64, tables: Tables) -> Self {
        let lines = tables.lines.iter().map(|line| &line.id);
        let last_id = tables.orders.iter().chain(&tables.products).chain(lines).max().copied().unwrap_or(0);
        Self { random: Rng::with_seed(seed), tables, gone_orders: Vec::new(), gone_products: Vec::new(), last_id }
    }

    /// The next transactions, with at least so many statements together.
    pub fn take(&mut self, statements: usize) -> Vec<Transaction> {
        let (mut transactions, mut taken) = (Vec::new(), 0);
        while taken < statements {
            let transaction = self.transaction();
            taken += transaction.statements.len();
            // It may have found nothing to change.
            transactions.extend((!transaction.statements.is_empty()).then_some(transaction));
        }
        transactions
    }

    /// A transaction that inserts a new row into each table. When it has come through, so has what was before it.
    pub fn last_of_each_table(&mut self) -> Transaction {
        let order = self.new_id();
        let statements = vec![self.insert_order(order), self.new_line(order), self.new_product()];
        Transaction { changes: vec![Change::NewOrder, Change::NewLine, Change::NewProduct], statements }
    }

    fn transaction(&mut self) -> Transaction {
        let mut transaction = Transaction::default();
        for _ in 0..self.random.usize(1..=MOST_CHANGES) {
            let change = Change::ALL[self.random.usize(0..Change::ALL.len())];
            // It may find nothing to change.
            if let Some(statements) = self.change(change) {
                transaction.changes.push(change);
                transaction.statements.extend(statements);
            }
        }
        transaction
    }

    fn change(&mut self, change: Change) -> Option<Vec<String>> {
        match change {
            Change::NewOrder => Some(self.new_order()),
            Change::NewLine => self.order().map(|order| self.new_line(order)).map(one),
            Change::NewLineOfGoneOrder => {
                self.random.choice(self.gone_orders.iter().copied()).map(|order| self.new_line(order)).map(one)
            }
            Change::NewProduct => Some(one(self.new_product())),
            Change::MoveLine => self.move_line(true, false),
            Change::ExchangeProduct => self.move_line(false, true),
            Change::MoveLineAndExchangeProduct => self.move_line(true, true),
            Change::ChangePrice => self.change_price(),
            Change::ChangeOrder => self.change_order(),
            Change::RenameProduct => self.rename_product(),
            Change::MoveProduct => self.move_product(),
            Change::RenumberLine => self.renumber_line(),
            Change::RenumberOrder => self.renumber_order(false),
            Change::RenumberOrderWithLines => self.renumber_order(true),
            Change::RenumberProduct => self.renumber_product(),
            Change::DeleteLine => self.delete_line(),
            Change::DeleteOrder => self.delete_order(false),
            Change::DeleteOrderWithLines => self.delete_order(true),
            Change::DeleteProduct => self.delete_product(),
            Change::RecreateOrder => self.recreate_order(),
            Change::RecreateProduct => self.recreate_product(),
            Change::ComeAndGo => self.come_and_go(),
            Change::ChangeNothing => self.change_nothing(),
        }
    }

    fn new_order(&mut self) -> Vec<String> {
        let id = self.new_id();
        let mut statements = vec![self.insert_order(id)];
        for _ in 0..self.random.usize(0..=MOST_LINES) {
            statements.push(self.new_line(id));
        }
        // Also lines before their order.
        self.random.shuffle(&mut statements);
        statements
    }

    fn insert_order(&mut self, id: i64) -> String {
        self.tables.orders.push(id);
        let (customer, shop, time) = (self.random.i64(1..2_500), self.random.i64(1..500), self.time());
        format!("INSERT INTO pedidos VALUES ({id}, {customer}, {shop}, '{time}')")
    }

    fn new_line(&mut self, order: i64) -> String {
        let (id, product) = (self.new_id(), self.any_product());
        self.tables.lines.push(Line { id, order, product });
        let (quantity, amount, discount) = (self.random.i64(0..20), self.amount(), self.amount());
        format!("INSERT INTO itens_pedido VALUES ({id}, {order}, {product}, {quantity}, {amount}, {discount})")
    }

    fn new_product(&mut self) -> String {
        let id = self.new_id();
        self.insert_product(id)
    }

    fn insert_product(&mut self, id: i64) -> String {
        self.tables.products.push(id);
        let (name, brand) = (self.name(), self.brand());
        format!("INSERT INTO produtos VALUES ({id}, '{name}', 'GROCERY', {brand}, NULL)")
    }

    fn move_line(&mut self, to_order: bool, to_product: bool) -> Option<Vec<String>> {
        let (order, product) = (self.order()?, self.any_product());
        let line = self.line()?;
        let mut sets = Vec::new();
        if to_order {
            line.order = order;
            sets.push(format!("pedido_id = {order}"));
        }
        if to_product {
            line.product = product;
            sets.push(format!("produto_id = {product}"));
        }
        Some(one(format!("UPDATE itens_pedido SET {} WHERE id = {}", sets.join(", "), line.id)))
    }

    fn change_price(&mut self) -> Option<Vec<String>> {
        let (id, quantity) = (self.line()?.id, self.random.i64(0..20));
        let (amount, discount) = (self.amount(), self.amount());
        let sets = format!("quantidade = {quantity}, valor = {amount}, desconto = {discount}");
        Some(one(format!("UPDATE itens_pedido SET {sets} WHERE id = {id}")))
    }

    fn change_order(&mut self) -> Option<Vec<String>> {
        let (id, customer, time) = (self.order()?, self.random.i64(1..2_500), self.time());
        Some(one(format!("UPDATE pedidos SET cliente_id = {customer}, criado_em = '{time}' WHERE id = {id}")))
    }

    fn rename_product(&mut self) -> Option<Vec<String>> {
        let (id, name, brand) = (self.named_product()?, self.name(), self.brand());
        Some(one(format!("UPDATE produtos SET nome = '{name}', marca = {brand} WHERE id = {id}")))
    }

    fn move_product(&mut self) -> Option<Vec<String>> {
        let (id, number) = (self.named_product()?, self.random.u8(..));
        Some(one(format!("UPDATE produtos SET departamento = 'DEPARTMENT {number}' WHERE id = {id}")))
    }

    fn renumber_line(&mut self) -> Option<Vec<String>> {
        let new = self.new_id();
        let line = self.line()?;
        let old = std::mem::replace(&mut line.id, new);
        Some(one(format!("UPDATE itens_pedido SET id = {new} WHERE id = {old}")))
    }

    fn renumber_order(&mut self, with_lines: bool) -> Option<Vec<String>> {
        let (old, new) = (self.order()?, self.new_id());
        self.tables.orders.retain(|id| *id != old);
        self.tables.orders.push(new);
        self.gone_orders.push(old);
        let mut statements = vec![format!("UPDATE pedidos SET id = {new} WHERE id = {old}")];
        if with_lines {
            let lines = self.tables.lines.iter_mut().filter(|line| line.order == old);
            lines.for_each(|line| line.order = new);
            statements.push(format!("UPDATE itens_pedido SET pedido_id = {new} WHERE pedido_id = {old}"));
        }
        Some(statements)
    }

    fn renumber_product(&mut self) -> Option<Vec<String>> {
        let (old, new) = (self.named_product()?, self.new_id());
        self.tables.products.retain(|id| *id != old);
        self.tables.products.push(new);
        self.gone_products.push(old);
        Some(one(format!("UPDATE produtos SET id = {new} WHERE id = {old}")))
    }

    fn delete_line(&mut self) -> Option<Vec<String>> {
        let id = self.line()?.id;
        self.tables.lines.retain(|line| line.id != id);
        Some(one(format!("DELETE FROM itens_pedido WHERE id = {id}")))
    }

    fn delete_order(&mut self, with_lines: bool) -> Option<Vec<String>> {
        let id = self.order()?;
        self.tables.orders.retain(|order| *order != id);
        self.gone_orders.push(id);
        let mut statements = vec![format!("DELETE FROM pedidos WHERE id = {id}")];
        if with_lines {
            self.tables.lines.retain(|line| line.order != id);
            statements.push(format!("DELETE FROM itens_pedido WHERE pedido_id = {id}"));
        }
        // The order first, or its lines.
        self.random.shuffle(&mut statements);
        Some(statements)
    }

    fn delete_product(&mut self) -> Option<Vec<String>> {
        let id = self.named_product()?;
        self.tables.products.retain(|product| *product != id);
        self.gone_products.push(id);
        Some(one(format!("DELETE FROM produtos WHERE id = {id}")))
    }

    fn recreate_order(&mut self) -> Option<Vec<String>> {
        let id = draw(&mut self.random, &mut self.gone_orders)?;
        Some(one(self.insert_order(id)))
    }

    fn recreate_product(&mut self) -> Option<Vec<String>> {
        let id = draw(&mut self.random, &mut self.gone_products)?;
        Some(one(self.insert_product(id)))
    }

    fn come_and_go(&mut self) -> Option<Vec<String>> {
        let order = self.order()?;
        let come = self.new_line(order);
        let id = self.tables.lines.pop()?.id;
        Some(vec![come, format!("DELETE FROM itens_pedido WHERE id = {id}")])
    }

    fn change_nothing(&mut self) -> Option<Vec<String>> {
        let (line, order, product) = (self.line()?.id, self.order()?, self.named_product()?);
        let unchanged = [
            format!("UPDATE itens_pedido SET valor = valor WHERE id = {line}"),
            format!("UPDATE pedidos SET cliente_id = cliente_id WHERE id = {order}"),
            format!("UPDATE produtos SET nome = nome WHERE id = {product}"),
        ];
        self.random.choice(unchanged).map(one)
    }

    fn order(&mut self) -> Option<i64> {
        self.random.choice(self.tables.orders.iter().copied())
    }

    fn line(&mut self) -> Option<&mut Line> {
        self.random.choice(self.tables.lines.iter_mut())
    }

    /// A product that is there and, if possible, stands in lines: a popular one more often than others.
    fn named_product(&mut self) -> Option<i64> {
        let named = self.line()?.product;
        if self.tables.products.contains(&named) {
            return Some(named);
        }
        self.random.choice(self.tables.products.iter().copied())
    }

    /// A product that a line may name: one of those that others name, any other, or one that is gone.
    fn any_product(&mut self) -> i64 {
        let named = self.line().map(|line| line.product);
        let there = self.random.choice(self.tables.products.iter().copied());
        let gone = self.random.choice(self.gone_products.iter().copied());
        let choices = [named, there, gone].into_iter().flatten().collect::<Vec<_>>();
        self.random.choice(choices).unwrap_or(0)
    }

    fn new_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    fn amount(&mut self) -> String {
        let cents = if self.random.u8(..) < 8 { 9_999_999_999 } else { self.random.u64(0..20_000) };
        format!("{}.{:02}", cents / 100, cents % 100)
    }

    fn time(&mut self) -> String {
        let (day, hour, minute) = (self.random.u8(1..=28), self.random.u8(..24), self.random.u8(..60));
        format!("2017-02-{day:02} {hour:02}:{minute:02}:07.{:03}", self.random.u16(..1_000))
    }

    /// A product's name as it stands in SQL.
    fn name(&mut self) -> String {
        let names = ["PÃO D''ÁGUA", "CAFÉ \"EXTRA\"", "SUCO 🍊", "", " ", "ARROZ"];
        format!("{} {}", self.random.choice(names).unwrap_or_default(), self.random.u16(..))
    }

    fn brand(&mut self) -> String {
        self.random.choice(["NULL", "'Private'", "'National'"]).unwrap_or("NULL").to_owned()
    }
}

fn one(statement: String) -> Vec<String> {
    vec![statement]
}

/// Takes one of `ids` away.
fn draw(random: &mut Rng, ids: &mut Vec<i64>) -> Option<i64> {
    (!ids.is_empty()).then(|| ids.swap_remove(random.usize(0..ids.len())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn changes(seed: u64) -> Changes {
        let line = |id| Line { id, order: id % 40, product: 100 + id % 30 };
        let tables =
            Tables { orders: (0..40).collect(), lines: (0..200).map(line).collect(), products: (100..130).collect() };
        Changes::new(seed, tables)
    }

    #[test]
    fn every_kind_of_change_comes_and_some_share_a_transaction() {
        let transactions = changes(1).take(2_000);
        let kinds: BTreeSet<Change> =
            transactions.iter().flat_map(|transaction| &transaction.changes).copied().collect();
        assert_eq!(kinds, BTreeSet::from(Change::ALL));
        assert!(transactions.iter().any(|transaction| transaction.changes.len() >= 3));
    }

    #[test]
    fn a_seed_gives_the_same_changes_again_and_another_gives_others() {
        assert_eq!(changes(1).take(500), changes(1).take(500));
        assert_ne!(changes(1).take(500), changes(2).take(500));
    }

    #[test]
    fn empty_tables_are_filled() {
        let mut changes = Changes::new(1, Tables::default());
        // What is filled may be emptied again.
        let is_filled = (0..100).any(|_| {
            changes.take(1);
            !changes.tables.orders.is_empty() && !changes.tables.lines.is_empty() && !changes.tables.products.is_empty()
        });
        assert!(is_filled);
    }
}

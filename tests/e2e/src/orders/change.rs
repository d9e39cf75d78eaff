//! The kinds of changes to the shop's tables.

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// An order comes with some lines.
    NewOrder,
    /// A line comes to an order that is there.
    NewLine,
    /// A line comes to an order that is gone.
    NewLineOfGoneOrder,
    /// A product comes that no line names.
    NewProduct,
    /// A line goes to another order.
    MoveLine,
    /// A line names another product.
    ExchangeProduct,
    /// A line goes to another order and names another product at once.
    MoveLineAndExchangeProduct,
    /// Amount, discount and quantity of a line change.
    ChangePrice,
    /// Customer and time of an order change.
    ChangeOrder,
    /// A product that lines name gets another name and brand.
    RenameProduct,
    /// A product goes to another department.
    MoveProduct,
    /// The primary key of a line changes.
    RenumberLine,
    /// The primary key of an order changes; its lines stay where they are.
    RenumberOrder,
    /// The primary key of an order changes, and its lines follow.
    RenumberOrderWithLines,
    /// The primary key of a product changes: lines that name it lose it.
    RenumberProduct,
    /// A line goes.
    DeleteLine,
    /// An order goes, and its lines stay behind.
    DeleteOrder,
    /// An order goes with its lines.
    DeleteOrderWithLines,
    /// A product that lines name goes.
    DeleteProduct,
    /// An order comes back that had gone.
    RecreateOrder,
    /// A product comes back that had gone, under another name.
    RecreateProduct,
    /// A line comes and goes within the transaction.
    ComeAndGo,
    /// A line, an order or a product is updated to what it was.
    ChangeNothing,
}

impl Change {
    /// Every kind.
    pub const ALL: [Self; 23] = {
        use Change::*;
        [
            NewOrder,
            NewLine,
            NewLineOfGoneOrder,
            NewProduct,
            MoveLine,
            ExchangeProduct,
            MoveLineAndExchangeProduct,
            ChangePrice,
            ChangeOrder,
            RenameProduct,
            MoveProduct,
            RenumberLine,
            RenumberOrder,
            RenumberOrderWithLines,
            RenumberProduct,
            DeleteLine,
            DeleteOrder,
            DeleteOrderWithLines,
            DeleteProduct,
            RecreateOrder,
            RecreateProduct,
            ComeAndGo,
            ChangeNothing,
        ]
    };
}

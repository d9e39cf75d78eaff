//! The server's own commands `update` and `delete`: many writes each, whatever its version.

use mongodb::bson::{Document, RawDocumentBuf};

use super::MongoSession;
use super::failure::{Refusal, Trouble};
use crate::documents::bson;
use crate::store::Operation;

/// The writes of a command. The server takes up to 100,000.
const MOST_WRITES: usize = 5_000;
/// The bytes of a command that has more than one write: it is a document itself.
const MOST_BYTES: usize = 4 << 20;

/// A document that is put, or the `_id` of one that is deleted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write<'a> {
    pub operation: Operation,
    /// The document, of which the `_id` is the first element.
    pub document: &'a [u8],
    /// The bytes of the `_id`.
    pub id_bytes: usize,
}

impl Write<'_> {
    /// The `_id` as an element.
    fn id(&self) -> &[u8] {
        // Behind the length of the document.
        &self.document[4..4 + self.id_bytes]
    }

    fn bytes(&self) -> usize {
        self.document.len() + self.id_bytes
    }
}

/// Writes in the transaction of a session, one after the other. A refusal has its index among `writes`.
pub(super) async fn write(session: &mut MongoSession, collection: &str, writes: &[Write<'_>]) -> Result<(), Trouble> {
    let mut written = 0;
    while written < writes.len() {
        let count = fitting(&writes[written..]);
        let command = command(collection, &writes[written..written + count]);
        let command = RawDocumentBuf::from_bytes(command).map_err(mongodb::error::Error::from)?;
        let reply: Document = session.database.run_raw_command(command).session(&mut session.session).await?;
        if let Some(refusal) = Refusal::of(&reply) {
            return Err(Trouble::Write(Refusal { index: written + refusal.index, ..refusal }));
        }
        written += count;
    }
    Ok(())
}

/// How many of the first writes make one command: at least one.
fn fitting(writes: &[Write<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |write: &&Write<'_>| {
        bytes += write.bytes();
        write.operation == writes[0].operation && bytes <= MOST_BYTES
    };
    writes.iter().take(MOST_WRITES).take_while(fits).count().max(1)
}

/// A command of writes that do the same.
fn command(collection: &str, writes: &[Write<'_>]) -> Vec<u8> {
    let bytes: usize = writes.iter().map(Write::bytes).sum();
    let mut out = Vec::with_capacity(bytes + 64 * (writes.len() + 2));
    let deletes = writes.first().is_some_and(|write| write.operation == Operation::Delete);
    let (name, list) = if deletes { ("delete", "deletes") } else { ("update", "updates") };
    let command = bson::open(&mut out);
    bson::string(&mut out, name, collection);
    let array = bson::open_array(&mut out, list);
    let mut index = itoa::Buffer::new();
    for (position, write) in writes.iter().enumerate() {
        let element = bson::open_document(&mut out, index.format(position));
        let condition = bson::open_document(&mut out, "q");
        bson::copy(&mut out, write.id());
        bson::close(&mut out, condition);
        if deletes {
            bson::int64(&mut out, "limit", 1);
        } else {
            bson::document(&mut out, "u", write.document);
            bson::boolean(&mut out, "upsert", true);
        }
        bson::close(&mut out, element);
    }
    bson::close(&mut out, array);
    bson::close(&mut out, command);
    out
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{doc, serialize_to_vec};

    use super::*;
    use crate::documents::ID;

    fn document(id: i64, text: &str) -> Vec<u8> {
        serialize_to_vec(&doc! { ID: id, "text": text }).unwrap()
    }

    fn put(document: &[u8]) -> Write<'_> {
        // A kind, `_id` and its NUL, and 64 bits.
        Write { operation: Operation::Put, document, id_bytes: 13 }
    }

    #[test]
    fn a_command_replaces_each_document_by_its_id() {
        let (first, second) = (document(1, "a"), document(2, "b"));
        let bytes = command("things", &[put(&first), put(&second)]);
        let update = |id: i64, text: &str| doc! { "q": { ID: id }, "u": { ID: id, "text": text }, "upsert": true };
        let wanted = doc! { "update": "things", "updates": [update(1, "a"), update(2, "b")] };
        assert_eq!(Document::from_reader(bytes.as_slice()).unwrap(), wanted);
        let delete = Write { operation: Operation::Delete, ..put(&first) };
        let wanted = doc! { "delete": "things", "deletes": [{ "q": { ID: 1_i64 }, "limit": 1_i64 }] };
        assert_eq!(Document::from_reader(command("things", &[delete]).as_slice()).unwrap(), wanted);
    }

    #[test]
    fn commands_end_with_the_operation_the_number_and_the_bytes() {
        let (small, large) = (document(1, "a"), document(1, &"x".repeat(MOST_BYTES / 2)));
        let delete = Write { operation: Operation::Delete, ..put(&small) };
        assert_eq!(fitting(&[delete, delete, put(&small)]), 2);
        assert_eq!(fitting(&vec![put(&small); MOST_WRITES + 1]), MOST_WRITES);
        assert_eq!(fitting(&[put(&small), put(&large), put(&large)]), 2);
        let huge = document(1, &"x".repeat(2 * MOST_BYTES));
        assert_eq!(fitting(&[put(&huge), put(&small)]), 1);
    }
}

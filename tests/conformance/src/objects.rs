//! What every [`Objects`](azenha_engine::objects::Objects) promises.

use azenha_engine::objects::{Creation, Objects, Replacement, Tag};
use azenha_engine::store::StoreError;
use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{self, StreamExt};

/// Larger than what goes in one piece, and not a multiple of it.
pub const LARGE: usize = (36 << 20) + 7;

/// Bytes that differ everywhere and by their seed, so that pieces in another order are other bytes.
pub fn content(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect::<Vec<u8>>().into()
}

/// The content and the tag of an object that is there.
pub async fn found(objects: &dyn Objects, path: &str) -> (Bytes, Tag) {
    let object = objects.get(path).await.unwrap().unwrap_or_else(|| panic!("there is no `{path}`"));
    (object.content.whole().unwrap(), object.tag)
}

async fn put(objects: &dyn Objects, path: &str, content: impl Into<Bytes>) {
    let content: Bytes = content.into();
    assert_eq!(objects.create(path, content.into()).await.unwrap(), Creation::Made, "{path}");
}

async fn replaced(objects: &dyn Objects, path: &str, content: Bytes, expected: Option<&Tag>) -> Tag {
    match objects.replace(path, content.into(), expected).await.unwrap() {
        Replacement::Done(tag) => tag,
        Replacement::Changed => panic!("`{path}` is not as expected"),
    }
}

/// With its size and its tag.
pub async fn an_object_comes_back_as_it_was_written(objects: &dyn Objects) {
    let written = content(100_000, 1);
    put(objects, "raw/orders/date=2024-01-31/0-17.json", written.clone()).await;
    let (read, tag) = found(objects, "raw/orders/date=2024-01-31/0-17.json").await;
    assert_eq!(read, written);
    let [listed] = &objects.list("raw").await.unwrap()[..] else { panic!("one object is there") };
    assert_eq!((listed.path.as_str(), listed.bytes), ("raw/orders/date=2024-01-31/0-17.json", 100_000));
    assert_eq!(listed.tag, tag);
}

/// The first content stays.
pub async fn an_object_is_made_once(objects: &dyn Objects) {
    put(objects, "once", "first").await;
    assert_eq!(objects.create("once", Bytes::from("second").into()).await.unwrap(), Creation::Exists);
    assert_eq!(found(objects, "once").await.0, "first");
}

/// And its content is what is read.
pub async fn of_concurrent_creates_one_wins(objects: &dyn Objects) {
    let creates = (0..16).map(|number| objects.create("contested", Bytes::from(format!("by {number}")).into()));
    let done: Vec<Creation> = join_all(creates).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<usize> = (0..16).filter(|number| done[*number] == Creation::Made).collect();
    let [winner] = winners[..] else { panic!("{winners:?} won") };
    assert_eq!(found(objects, "contested").await.0, format!("by {winner}"));
}

/// Whoever has an old tag changes nothing.
pub async fn an_object_is_replaced_by_its_tag(objects: &dyn Objects) {
    let first = replaced(objects, "gold/total", Bytes::from("1"), None).await;
    assert_eq!(found(objects, "gold/total").await, (Bytes::from("1"), first.clone()));
    let second = replaced(objects, "gold/total", Bytes::from("2"), Some(&first)).await;
    assert_ne!(first, second);
    assert_eq!(found(objects, "gold/total").await, (Bytes::from("2"), second.clone()));
    for stale in [Some(&first), None] {
        let done = objects.replace("gold/total", Bytes::from("3").into(), stale).await.unwrap();
        assert_eq!(done, Replacement::Changed, "{stale:?}");
    }
    assert_eq!(
        objects.replace("gold/none", Bytes::from("3").into(), Some(&second)).await.unwrap(),
        Replacement::Changed
    );
    assert_eq!(found(objects, "gold/total").await, (Bytes::from("2"), second));
    assert_eq!(objects.get("gold/none").await.unwrap(), None);
}

/// The others are told.
pub async fn of_concurrent_replacements_one_wins(objects: &dyn Objects) {
    let mut tag = replaced(objects, "contested", Bytes::from("none"), None).await;
    for round in 0..4 {
        let replace = |number| {
            let content = Bytes::from(format!("{round} by {number}"));
            objects.replace("contested", content.into(), Some(&tag))
        };
        let done: Vec<Replacement> = join_all((0..8).map(replace)).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<(usize, &Tag)> = (0..)
            .zip(&done)
            .filter_map(|(number, done)| match done {
                Replacement::Done(tag) => Some((number, tag)),
                Replacement::Changed => None,
            })
            .collect();
        let [(winner, new_tag)] = winners[..] else { panic!("{winners:?} won") };
        assert_eq!(found(objects, "contested").await, (format!("{round} by {winner}").into(), new_tag.clone()));
        tag = new_tag.clone();
    }
}

/// The answer to the first try may have been lost.
pub async fn a_replacement_may_be_repeated(objects: &dyn Objects) {
    let mut tag = None;
    for round in ["first", "second"] {
        let done = replaced(objects, "repeated", Bytes::from(round), tag.as_ref()).await;
        assert_eq!(replaced(objects, "repeated", Bytes::from(round), tag.as_ref()).await, done, "{round}");
        tag = Some(done);
    }
    assert_eq!(found(objects, "repeated").await.0, "second");
}

/// Never a part of one, nor a mixture.
pub async fn readers_see_an_object_before_a_change_or_after_it(objects: &dyn Objects) {
    const LENGTH: usize = 1 << 20;
    let uniform = |letter: u8| Bytes::from(vec![letter; LENGTH]);
    let mut tag = replaced(objects, "seen", uniform(b'a'), None).await;
    let write = async {
        for letter in b'b'..=b'm' {
            tag = replaced(objects, "seen", uniform(letter), Some(&tag)).await;
        }
    };
    let read = async {
        loop {
            let (read, _) = found(objects, "seen").await;
            assert_eq!(read.len(), LENGTH);
            assert!(read.iter().all(|letter| *letter == read[0]), "a mixture was read");
            if read[0] == b'm' {
                break;
            }
        }
    };
    futures::join!(write, read);
}

/// Also where something is above it or below.
pub async fn what_is_missing_is_none(objects: &dyn Objects) {
    put(objects, "a/b/c", "x").await;
    for path in ["nothing", "a", "a/b", "a/b/c/d", "a/b/cc"] {
        assert_eq!(objects.get(path).await.unwrap(), None, "{path}");
    }
    for below in ["nothing", "a/b/c", "a/b/cc", "b"] {
        assert_eq!(objects.list(below).await.unwrap(), [], "{below}");
    }
}

/// Also beyond the thousand that one answer of S3 holds.
pub async fn lists_are_whole_and_in_order(objects: &dyn Objects) {
    let mut paths: Vec<String> = (0..1_100).map(|number| format!("many/date={}/{number}", number % 7)).collect();
    let put_one = |path: String| async move { put(objects, &path, path.clone()).await };
    stream::iter(paths.clone()).map(put_one).buffer_unordered(16).collect::<Vec<()>>().await;
    put(objects, "many.more", "x").await;
    put(objects, "manyfold/1", "x").await;
    paths.sort_unstable();
    let listed: Vec<String> = objects.list("many").await.unwrap().into_iter().map(|object| object.path).collect();
    assert_eq!(listed, paths);
    let all = objects.list("").await.unwrap();
    assert_eq!(all.len(), 1_102);
    assert!(all.is_sorted_by_key(|object| &object.path));
    assert_eq!(objects.list("many/date=3").await.unwrap().len(), 157);
}

/// As any other.
pub async fn a_large_object_is_made_once_and_replaced_by_its_tag(objects: &dyn Objects) {
    let (first, second) = (content(LARGE, 1), content(LARGE, 2));
    put(objects, "large", first.clone()).await;
    assert_eq!(objects.create("large", second.clone().into()).await.unwrap(), Creation::Exists);
    let (read, tag) = found(objects, "large").await;
    assert!(read == first, "another content was read");
    let new_tag = replaced(objects, "large", second.clone(), Some(&tag)).await;
    assert_eq!(objects.replace("large", first.into(), Some(&tag)).await.unwrap(), Replacement::Changed);
    let (read, read_tag) = found(objects, "large").await;
    assert!(read == second, "another content was read");
    assert_eq!(read_tag, new_tag);
    let [listed] = &objects.list("").await.unwrap()[..] else { panic!("one object is there") };
    assert_eq!((listed.bytes, &listed.tag), (LARGE as u64, &new_tag));
}

/// Although it comes in parts: never a mixture.
pub async fn readers_see_a_large_object_before_a_change_or_after_it(objects: &dyn Objects) {
    let uniform = |letter: u8| Bytes::from(vec![letter; LARGE]);
    let mut tag = replaced(objects, "seen", uniform(b'a'), None).await;
    let write = async {
        for letter in b'b'..=b'e' {
            tag = replaced(objects, "seen", uniform(letter), Some(&tag)).await;
        }
    };
    let read = async {
        loop {
            let read = match objects.get("seen").await {
                Ok(read) => read.unwrap().content.whole().unwrap(),
                // It was replaced meanwhile.
                Err(StoreError::Unavailable { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            assert!(read.len() == LARGE && read.iter().all(|letter| *letter == read[0]), "a mixture was read");
            if read[0] == b'e' {
                break;
            }
        }
    };
    futures::join!(write, read);
}

/// And its content is what is read.
pub async fn of_concurrent_large_creates_one_wins(objects: &dyn Objects) {
    let contents = [content(LARGE, 1), content(LARGE, 2), content(LARGE, 3)];
    let done = join_all(contents.iter().map(|content| objects.create("large", content.clone().into()))).await;
    let made: Vec<bool> = done.into_iter().map(|done| done.unwrap() == Creation::Made).collect();
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    let (read, _) = found(objects, "large").await;
    assert!(made.iter().zip(&contents).any(|(made, content)| *made && read == content), "the winner's is not there");
}

/// Not a missing one.
pub async fn an_empty_object_is_one(objects: &dyn Objects) {
    put(objects, "empty", "").await;
    let (read, tag) = found(objects, "empty").await;
    assert!(read.is_empty());
    assert_eq!(objects.list("").await.unwrap()[0].bytes, 0);
    replaced(objects, "empty", Bytes::from("full"), Some(&tag)).await;
    assert_eq!(found(objects, "empty").await.0, "full");
}

/// Letters are kept as they are, not escaped or decoded.
pub async fn names_may_be_odd(objects: &dyn Objects) {
    let mut names = vec![
        "with blanks/a b.json",
        "date=2024-01-31/k=v=w",
        "100%/25%20",
        "a%2Fb",
        "São Paulo/日本/🦀",
        "plus+and&and?question#hash#1",
        "~tilde/*star/[brackets]/{braces}",
        "quote\"'`<>|^",
        "colon:semicolon;comma,at@dollar$bang!(parens)",
        ".hidden/..two/a.b.",
        "-dash/_under",
    ];
    for name in &names {
        put(objects, name, (*name).to_owned()).await;
        assert_eq!(found(objects, name).await.0, *name, "{name}");
        assert_eq!(objects.create(name, Bytes::new().into()).await.unwrap(), Creation::Exists, "{name}");
    }
    let listed: Vec<String> = objects.list("").await.unwrap().into_iter().map(|object| object.path).collect();
    names.sort_unstable();
    assert_eq!(listed, names);
    for name in names {
        let (below, _) = name.split_once('/').unwrap_or((name, ""));
        let listed = objects.list(below).await.unwrap();
        assert_eq!(listed.len(), usize::from(name.contains('/')), "{below}");
    }
}

/// Nothing outside of what the connection names can be read or written.
pub async fn paths_that_lead_elsewhere_are_refused(objects: &dyn Objects) {
    for path in ["", "/etc/x", "../x", "a/../../x", "a/./x", "a//x", "a/", "a\0x", "a\nx", "a\\x"] {
        let refusals = [
            objects.create(path, Bytes::new().into()).await.map(drop),
            objects.replace(path, Bytes::new().into(), None).await.map(drop),
            objects.get(path).await.map(drop),
        ];
        for refusal in refusals {
            assert!(matches!(refusal, Err(StoreError::Definition(_))), "{path:?}: {refusal:?}");
        }
    }
    assert_eq!(objects.list("").await.unwrap(), []);
}

/// And keeps what is there.
pub async fn preparing_may_be_repeated(objects: &dyn Objects) {
    put(objects, "kept", "x").await;
    objects.prepare().await.unwrap();
    objects.prepare().await.unwrap();
    assert_eq!(found(objects, "kept").await.0, "x");
}

/// Lanes commit from threads whose runtimes have neither timers nor I/O.
pub async fn an_object_store_can_be_used_from_another_runtime(objects: &dyn Objects) {
    let use_it = async {
        objects.prepare().await.unwrap();
        put(objects, "elsewhere", "x").await;
        replaced(objects, "replaced", Bytes::from("y"), None).await;
        assert_eq!(found(objects, "elsewhere").await.0, "x");
        objects.list("").await.unwrap()
    };
    // Blocks this thread, not the runtime that does the store's I/O.
    let listed = std::thread::scope(|scope| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        scope.spawn(move || runtime.block_on(use_it)).join().unwrap()
    });
    assert_eq!(listed.len(), 2);
}

//! What every [`Objects`] on a server promises when connections fail. `direct` is the same store without a proxy.

use azenha_engine::objects::{Creation, Objects, Replacement, Tag};
use azenha_engine::store::StoreError;
use bytes::Bytes;

use crate::objects::{LARGE, content, found};
use crate::proxy::{Lost, Proxy, Serving};

/// Every call fails in the way that passes by itself, and none for good.
async fn is_unavailable(objects: &dyn Objects, proxy: &Proxy, serving: Serving) {
    assert_eq!(objects.create("before", Bytes::from("x").into()).await.unwrap(), Creation::Made);
    proxy.serve(serving);
    let failures = [
        objects.prepare().await.map(drop),
        objects.create("during", Bytes::from("x").into()).await.map(drop),
        objects.create("large", content(LARGE, 1).into()).await.map(drop),
        objects.replace("during", Bytes::from("x").into(), None).await.map(drop),
        objects.get("before").await.map(drop),
        objects.list("").await.map(drop),
    ];
    for failure in failures {
        assert!(matches!(failure, Err(StoreError::Unavailable { .. })), "{failure:?}");
    }
    proxy.serve(Serving::Forward);
    assert_eq!(objects.create("during", Bytes::from("x").into()).await.unwrap(), Creation::Made);
    assert_eq!(objects.list("").await.unwrap().len(), 2);
}

/// No call waits for ever, nor fails for good.
pub async fn a_server_that_refuses_is_unavailable_until_it_is_back(
    _: &dyn Objects,
    proxy: &Proxy,
    objects: &dyn Objects,
) {
    is_unavailable(objects, proxy, Serving::Refuse).await;
}

/// No call waits for ever, nor fails for good.
pub async fn a_server_that_stalls_is_unavailable_until_it_is_back(
    _: &dyn Objects,
    proxy: &Proxy,
    objects: &dyn Objects,
) {
    is_unavailable(objects, proxy, Serving::Stall).await;
}

/// Wherever an upload ends, others see nothing of it or all.
pub async fn a_cut_midway_leaves_nothing_half_and_trying_again_works(
    direct: &dyn Objects,
    proxy: &Proxy,
    objects: &dyn Objects,
) {
    for (length, moments) in [(1 << 20, [0, 1, 3, 9]), (LARGE, [0, 9, 200, 400])] {
        let (first, second) = (content(length, 1), content(length, 2));
        for pieces in moments {
            let path = format!("cut/{length}-{pieces}");
            proxy.serve_after(pieces, Lost::Request, Serving::Refuse);
            let failure = objects.create(&path, first.clone().into()).await;
            assert!(matches!(failure, Err(StoreError::Unavailable { .. })), "{path}: {failure:?}");
            assert_eq!(direct.get(&path).await.unwrap(), None, "{path}");
            proxy.serve(Serving::Forward);
            assert_eq!(objects.create(&path, first.clone().into()).await.unwrap(), Creation::Made, "{path}");
            let (read, tag) = found(direct, &path).await;
            assert!(read == first, "{path} has another content");

            proxy.serve_after(pieces, Lost::Request, Serving::Refuse);
            let failure = objects.replace(&path, second.clone().into(), Some(&tag)).await;
            assert!(matches!(failure, Err(StoreError::Unavailable { .. })), "{path}: {failure:?}");
            assert!(found(direct, &path).await.0 == first, "{path} has another content");
            proxy.serve(Serving::Forward);
            replace(objects, &path, &second, &tag).await;
            assert!(found(direct, &path).await.0 == second, "{path} has another content");
        }
    }
}

/// Whether the server has done what it was asked for shows when it is asked again.
pub async fn an_answer_that_is_lost_is_settled_by_trying_again(
    direct: &dyn Objects,
    proxy: &Proxy,
    objects: &dyn Objects,
) {
    for serving in [Serving::Forward, Serving::Refuse] {
        for (length, answers) in [(10, vec![0]), (LARGE, vec![0, 2, 4, 5])] {
            let (first, second) = (content(length, 1), content(length, 2));
            for answer in answers {
                let path = format!("lost/{serving:?}-{length}-{answer}");
                proxy.serve_after(answer, Lost::Answer, serving);
                let _ = objects.create(&path, first.clone().into()).await;
                proxy.serve(Serving::Forward);
                objects.create(&path, first.clone().into()).await.unwrap();
                let (read, tag) = found(direct, &path).await;
                assert!(read == first, "{path} has another content");

                proxy.serve_after(answer, Lost::Answer, serving);
                let _ = objects.replace(&path, second.clone().into(), Some(&tag)).await;
                proxy.serve(Serving::Forward);
                replace(objects, &path, &second, &tag).await;
                assert!(found(direct, &path).await.0 == second, "{path} has another content");
            }
        }
    }
}

/// Nothing of it is lost or there twice.
pub async fn a_large_object_is_read_whole_wherever_connections_end(
    direct: &dyn Objects,
    proxy: &Proxy,
    objects: &dyn Objects,
) {
    let written = content(LARGE, 1);
    assert_eq!(direct.create("large", written.clone().into()).await.unwrap(), Creation::Made);
    for pieces in [0, 1, 10, 100, 300, 500] {
        proxy.cut_after(pieces, Lost::Answer);
        assert!(found(objects, "large").await.0 == written, "another content was read after {pieces} pieces");
        assert!(proxy.has_cut(), "an object of {LARGE} bytes came in {pieces} pieces");
        proxy.serve_after(pieces, Lost::Answer, Serving::Refuse);
        let failure = objects.get("large").await;
        assert!(matches!(failure, Err(StoreError::Unavailable { .. })), "{failure:?}");
        proxy.serve(Serving::Forward);
        assert!(found(objects, "large").await.0 == written, "another content was read after {pieces} pieces");
    }
}

async fn replace(objects: &dyn Objects, path: &str, content: &Bytes, tag: &Tag) {
    let done = objects.replace(path, content.clone().into(), Some(tag)).await.unwrap();
    assert!(matches!(done, Replacement::Done(_)), "{path} is not as expected");
}

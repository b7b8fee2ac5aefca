//! The indexes that our queries need, made at start.

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::IndexOptions;

use super::document::field;
use super::failure::{Failure, describe};
use super::link::{Documents, Link};
use super::open_error::MongoOpenError;
use super::store_open::open_failure;

/// A duplicate key.
const DUPLICATE: i32 = 11000;

/// The indexes of the notices. On a cluster of shards a unique index must begin with the shard key, `receiverId`.
fn of_notices(sharded: bool) -> Vec<IndexModel> {
    let unread = doc! { field::READ: false };
    let by = |name: &str| match sharded {
        true => doc! { field::RECEIVER: 1, name: 1 },
        false => doc! { name: 1 },
    };
    vec![
        // An inbox in its order. Read notices are not in it, so it stays small.
        index(
            "notice_unread",
            doc! { field::RECEIVER: 1, field::CREATED: 1, field::ID: 1 },
            Some(unread.clone()),
            false,
        ),
        index(
            "notice_history",
            doc! { field::RECEIVER: 1, field::CREATED: -1, field::ID: -1 },
            None,
            false,
        ),
        index(
            "notice_idempotency",
            by(field::IDEMPOTENCY),
            Some(doc! { field::IDEMPOTENCY: { "$exists": true } }),
            true,
        ),
        index(
            "notice_collapse",
            by(field::COLLAPSE),
            Some(doc! { field::COLLAPSE: { "$exists": true } }),
            false,
        ),
        // What ends unread.
        index("notice_end", doc! { field::END: 1 }, Some(unread), false),
        deleting("notice_purge", field::PURGE),
    ]
}

fn index(name: &str, keys: Document, partial: Option<Document>, unique: bool) -> IndexModel {
    let mut options = IndexOptions::default();
    options.name = Some(name.to_owned());
    options.unique = unique.then_some(true);
    options.partial_filter_expression = partial;
    IndexModel::builder().keys(keys).options(options).build()
}

/// MongoDB deletes a document when the time in `field` is past.
fn deleting(name: &str, field: &str) -> IndexModel {
    let mut options = IndexOptions::default();
    options.name = Some(name.to_owned());
    options.expire_after = Some(std::time::Duration::ZERO);
    IndexModel::builder()
        .keys(doc! { field: 1 })
        .options(options)
        .build()
}

/// Makes all that are not there yet.
pub(super) async fn make(link: &Link, sharded: bool) -> Result<(), MongoOpenError> {
    make_on(link, &link.notices, of_notices(sharded)).await?;
    make_on(
        link,
        &link.sessions,
        vec![deleting("notice_session_end", "expireTime")],
    )
    .await?;
    make_on(
        link,
        &link.denied,
        vec![deleting("notice_deny_end", "until")],
    )
    .await
}

async fn make_on(
    link: &Link,
    documents: &Documents,
    indexes: Vec<IndexModel>,
) -> Result<(), MongoOpenError> {
    for index in indexes {
        let name = index
            .options
            .as_ref()
            .and_then(|options| options.name.clone());
        // Over many old documents it takes as long as it takes.
        let made = documents.create_index(index).await;
        made.map_err(|error| refused(link, documents.name(), &name.unwrap_or_default(), error))?;
    }
    Ok(())
}

fn refused(
    link: &Link,
    collection: &str,
    index: &str,
    error: mongodb::error::Error,
) -> MongoOpenError {
    let (index, collection) = (index.to_owned(), collection.to_owned());
    let (database, why) = (link.database.name().to_owned(), describe(&error));
    match error.kind.as_ref() {
        ErrorKind::Command(command) if command.code == DUPLICATE => MongoOpenError::Repeated {
            index,
            database,
            collection,
            why,
        },
        // IndexOptionsConflict, IndexKeySpecsConflict, CannotCreateIndex, IndexAlreadyExists.
        ErrorKind::Command(command) if [67, 68, 85, 86].contains(&command.code) => {
            MongoOpenError::Index {
                index,
                database,
                collection,
                why,
            }
        }
        _ => open_failure(&Failure::from(error), &database),
    }
}

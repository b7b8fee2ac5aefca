//! The same load on three nodes of ours, with every account online at one of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinHandle;

use super::load::{LOAD, Outcome, Stager};
use crate::support::{Api, Cluster, Connection, KEY, Notice, Program, Request, Socket, eventually};

type Pushed = Arc<Mutex<HashSet<String>>>;

pub(crate) async fn run() -> Outcome {
    let cluster = Cluster::new();
    let nodes = cluster.three().await;
    let pushed = Pushed::default();
    let clients = connect(&nodes, &pushed).await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let took = LOAD
        .run(|place| {
            let node = &nodes[place as usize % nodes.len()];
            stager(node.api(), Arc::clone(&accepted))
        })
        .await;
    let accepted = accepted.load(Ordering::Relaxed);
    eventually("every notice at its receiver", async || {
        let count = pushed.lock().len();
        if count == accepted {
            Ok(())
        } else {
            Err(count)
        }
    })
    .await;
    clients.iter().for_each(JoinHandle::abort);
    let pushed = pushed.lock().len();
    Outcome {
        accepted,
        pushed,
        took,
    }
}

async fn connect(nodes: &[Program; 3], pushed: &Pushed) -> Vec<JoinHandle<()>> {
    let connecting = (0..LOAD.accounts).map(async |number| {
        let account = LOAD.account(number);
        nodes[number % nodes.len()].connect(&account).await
    });
    let sockets = join_all(connecting).await.into_iter();
    sockets
        .map(|socket| tokio::spawn(listen(socket, Arc::clone(pushed))))
        .collect()
}

async fn listen(mut socket: Socket, pushed: Pushed) {
    while let Ok(frame) = socket.text_or_end().await {
        let notice = Notice::read(&frame["notice"]);
        socket.ack(&[&notice.id]).await;
        assert!(pushed.lock().insert(notice.id), "twice: {frame}");
    }
    panic!("the session was closed");
}

/// Stages one notice in a call, over a connection that is kept.
fn stager(
    api: Api,
    accepted: Arc<AtomicUsize>,
) -> Stager<impl Future<Output = ()> + Send + 'static> {
    let connection: Arc<tokio::sync::Mutex<Option<Connection>>> = Arc::default();
    Box::new(move |number| {
        let (connection, accepted) = (Arc::clone(&connection), Arc::clone(&accepted));
        let address = api.public;
        async move {
            let body = json!({
                "receiverId": LOAD.account(number),
                "senderId": "u1",
                "message": number.to_string(),
            });
            let request = Request::post("/notice/notices", &body).bearer(KEY);
            let mut kept = connection.lock().await;
            if kept.is_none() {
                *kept = Some(Connection::open(address).await.unwrap());
            }
            let answer = kept.as_mut().unwrap().call(&request).await.unwrap();
            answer.expect(201);
            accepted.fetch_add(1, Ordering::Relaxed);
        }
    })
}

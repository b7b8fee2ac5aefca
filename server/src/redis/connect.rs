//! From an [`Endpoint`] to the servers that are the masters now. What is read from files is read once, at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_rustls::rustls::ClientConfig;

use super::endpoint::{Address, Endpoint, Kind, Login};
use super::resp::Frame;
use super::slots::SlotTable;
use super::tls::{self, Files, TlsError};
use super::wire::{LinkError, Wire};

/// How to get to Redis: the endpoint, with its files read and checked. Shared by everything that connects.
pub struct Connector {
    endpoint: Endpoint,
    files: Option<Files>,
    tls: Option<Arc<ClientConfig>>,
    /// Which of several nodes is asked first: another one each time, since the last may be gone.
    turn: AtomicUsize,
}

/// The masters, and what each is for.
pub(super) struct Masters {
    pub(super) addresses: Vec<Address>,
    /// In a cluster: who serves what.
    pub(super) slots: Option<SlotTable>,
}

impl Connector {
    /// Reads the files that the endpoint names. Connects to nothing yet.
    ///
    /// # Errors
    /// When a file can't be used.
    pub fn new(endpoint: Endpoint) -> Result<Self, TlsError> {
        let files = endpoint.tls.as_ref().map(tls::read).transpose()?;
        let tls = files.as_ref().map(tls::configure).transpose()?;
        let turn = AtomicUsize::new(0);
        Ok(Self {
            endpoint,
            files,
            tls,
            turn,
        })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// Connects to a server.
    ///
    /// # Errors
    /// As [`Wire::open`].
    pub(super) async fn open(&self, address: &Address) -> Result<Wire, LinkError> {
        Wire::open(address, self.tls.as_ref(), &self.endpoint.login).await
    }

    /// Finds the masters.
    ///
    /// # Errors
    /// When nobody could say.
    pub(super) async fn masters(&self) -> Result<Masters, LinkError> {
        match &self.endpoint.kind {
            Kind::Single(address) => Ok(Masters {
                addresses: vec![address.clone()],
                slots: None,
            }),
            Kind::Sentinel {
                nodes,
                master,
                login,
            } => self.ask_sentinels(nodes, master, login).await,
            Kind::Cluster(nodes) => self.ask_cluster(nodes).await,
        }
    }

    /// Whether the masters may become others without a connection's end.
    pub(super) fn watches_sentinels(&self) -> bool {
        matches!(self.endpoint.kind, Kind::Sentinel { .. })
    }

    async fn ask_sentinels(
        &self,
        nodes: &[Address],
        name: &str,
        login: &Login,
    ) -> Result<Masters, LinkError> {
        let mut last = LinkError::new("no sentinel is configured");
        for node in self.in_turn(nodes) {
            match self.ask_sentinel(node, name, login).await {
                Ok(master) => {
                    return Ok(Masters {
                        addresses: vec![master],
                        slots: None,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_sentinel(
        &self,
        node: &Address,
        name: &str,
        login: &Login,
    ) -> Result<Address, LinkError> {
        let mut wire = Wire::open(node, self.tls.as_ref(), login).await?;
        let question: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", name.as_bytes()];
        match wire.call(&question).await? {
            Frame::Array(members) => address(&members)
                .ok_or_else(|| LinkError(format!("sentinel {node}: an answer of no use"))),
            Frame::Error(error) => Err(LinkError::answered(&format!("sentinel {node}"), &error)),
            _ => Err(LinkError(format!(
                "sentinel {node} knows no master of that name"
            ))),
        }
    }

    async fn ask_cluster(&self, nodes: &[Address]) -> Result<Masters, LinkError> {
        let mut last = LinkError::new("no node of the cluster is configured");
        for node in self.in_turn(nodes) {
            match self.ask_node(node).await {
                Ok(masters) => return Ok(masters),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_node(&self, node: &Address) -> Result<Masters, LinkError> {
        let mut wire = self.open(node).await?;
        match wire.call(&[b"CLUSTER", b"SLOTS"]).await? {
            Frame::Error(error) => Err(LinkError::answered(&node.to_string(), &error)),
            answer => match SlotTable::read(&answer, node) {
                Some((addresses, slots)) => Ok(Masters {
                    addresses,
                    slots: Some(slots),
                }),
                None => Err(LinkError(format!(
                    "{node}: the cluster does not serve all slots"
                ))),
            },
        }
    }

    fn in_turn<'a>(&self, nodes: &'a [Address]) -> impl Iterator<Item = &'a Address> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        nodes
            .iter()
            .cycle()
            .skip(first % nodes.len().max(1))
            .take(nodes.len())
    }
}

fn address(members: &[Frame]) -> Option<Address> {
    let [host, port] = members else {
        return None;
    };
    Some(Address {
        host: String::from_utf8(host.text()?.to_vec()).ok()?,
        port: std::str::from_utf8(port.text()?).ok()?.parse().ok()?,
    })
}

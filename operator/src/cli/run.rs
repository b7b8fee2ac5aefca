//! `run`: from flags and their twins in the environment to [`Options`].

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{ArgAction, Args, ValueEnum};

use crate::app::{self, MetricsApiOptions, Options};
use crate::validate::DEFAULT_SERVER_IMAGE;

/// How the operator runs.
#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Namespaces to watch, with commas; all without it
    #[arg(
        long = "namespace",
        env = "NOTICE_OPERATOR_NAMESPACES",
        value_delimiter = ',',
        value_name = "NS"
    )]
    namespaces: Vec<String>,
    /// Address of /livez, /readyz and /metrics
    #[arg(
        long,
        env = "NOTICE_OPERATOR_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    metrics_listen: SocketAddr,
    /// The operator's own namespace: of its Lease and its key. Default: that of its account, or of the kubeconfig's context
    #[arg(long, env = "POD_NAMESPACE", value_name = "NS")]
    pod_namespace: Option<String>,
    /// The operator's own name, on the Lease and on events
    #[arg(
        long,
        env = "POD_NAME",
        default_value = "notice-operator",
        value_name = "NAME"
    )]
    pod_name: String,
    /// Image of a NoticeCluster that names none
    #[arg(long, env = "NOTICE_SERVER_IMAGE", default_value = DEFAULT_SERVER_IMAGE, value_name = "IMAGE")]
    server_image: String,
    /// Whether several operators elect the one that acts
    #[arg(long, env = "NOTICE_OPERATOR_LEADER_ELECT", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    leader_elect: bool,
    /// The log on stderr
    #[arg(long, env = "NOTICE_OPERATOR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Port at which pods tell their load; for tests
    #[arg(long, default_value_t = 9090, hide = true)]
    admin_port: u16,
    /// Address of the API of custom metrics (HTTPS), by which Kubernetes' own autoscaler learns sessions; off without it
    #[arg(
        long,
        env = "NOTICE_OPERATOR_METRICS_API_LISTEN",
        value_name = "ADDRESS"
    )]
    metrics_api_listen: Option<SocketAddr>,
    /// Service in the operator's own namespace by which the API server comes to that API
    #[arg(
        long,
        env = "NOTICE_OPERATOR_METRICS_API_SERVICE",
        default_value = "notice-operator-metrics-api",
        value_name = "NAME"
    )]
    metrics_api_service: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl From<RunArgs> for Options {
    fn from(args: RunArgs) -> Self {
        Self {
            namespaces: args
                .namespaces
                .into_iter()
                .map(|it| it.trim().to_owned())
                .filter(|it| !it.is_empty())
                .collect(),
            metrics_listen: args.metrics_listen,
            pod_namespace: args.pod_namespace.filter(|it| !it.is_empty()),
            pod_name: args.pod_name,
            server_image: args.server_image,
            leader_elect: args.leader_elect,
            json_log: args.log_format == LogFormat::Json,
            admin_port: args.admin_port,
            metrics_api: args.metrics_api_listen.map(|listen| MetricsApiOptions {
                listen,
                service: args.metrics_api_service,
            }),
        }
    }
}

/// Runs until a signal asks for the end.
pub(super) fn run(args: RunArgs) -> ExitCode {
    app::run(&args.into())
}

//! What can be said of a MongoDB URI before anybody connects: its scheme and that it names hosts.
//! Pure. The driver reads the rest.

use super::uri::{ENCODE, credentials, hosts, take_apart, wrong};
use super::value::Unfit;

/// MongoDB's port.
const PORT: u16 = 27017;

/// Refuses what can be no MongoDB URI. What is wrong is said without a piece of the text.
pub(super) fn check(text: &str) -> Result<(), Unfit> {
    if let Some(rest) = text.strip_prefix("mongodb+srv://") {
        return check_srv(rest);
    }
    let rest = text.strip_prefix("mongodb://").ok_or_else(no_scheme)?;
    let parts = take_apart(rest)?;
    check_credentials(parts.credentials)?;
    // A host that begins with an encoded slash is a socket.
    let machines = parts.hosts.split(',');
    for machine in machines.filter(|host| !host.to_ascii_lowercase().starts_with("%2f")) {
        hosts(machine, PORT)?;
    }
    Ok(())
}

/// One name without a port: the name server knows the rest.
fn check_srv(rest: &str) -> Result<(), Unfit> {
    let parts = take_apart(rest)?;
    check_credentials(parts.credentials)?;
    if parts.hosts.contains([',', ':', '[']) {
        return Err(wrong(
            "mongodb+srv:// takes one name, without a port",
            "write mongodb+srv://NAME/, or mongodb:// with the hosts",
        ));
    }
    hosts(parts.hosts, PORT).map(drop)
}

fn check_credentials(text: Option<&str>) -> Result<(), Unfit> {
    let Some(text) = text else {
        return Ok(());
    };
    if text.matches(':').count() > 1 || text.contains('@') {
        return Err(wrong(
            "its credentials hold a \":\" or an \"@\" too many",
            ENCODE,
        ));
    }
    credentials(text).map(drop)
}

fn no_scheme() -> Unfit {
    wrong(
        "it begins with neither mongodb:// nor mongodb+srv://",
        "write mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_of_mongodb_is_taken_in_its_forms() {
        for uri in [
            "mongodb://db",
            "mongodb://127.0.0.1:27017/",
            "mongodb://u:p%40ss@a:1,b:2,[::1]:3/admin?replicaSet=rs0&tls=true",
            "mongodb://u@db/?authMechanism=MONGODB-X509",
            "mongodb://%2Ftmp%2Fmongodb-27017.sock/notice",
            "mongodb+srv://u:p@cluster0.example.net/?retryWrites=true",
        ] {
            assert_eq!(check(uri), Ok(()), "{uri}");
        }
    }

    #[test]
    fn what_is_no_uri_of_mongodb_is_refused_without_its_text() {
        for uri in [
            "",
            "db:27017",
            "http://u:sesame@db",
            "mongodb:/u:sesame@db",
            "mongodb://",
            "mongodb://u:sesame@",
            "mongodb://u:sesame@db:99999",
            "mongodb://u:sesame@db:port",
            "mongodb://u:sesame@a,,b",
            "mongodb://u:sesame/x@db",
            "mongodb://u:sesame?x@db",
            "mongodb://u:sesame#x@db",
            "mongodb://u:sesame x@db",
            "mongodb://u:sesame:x@db",
            "mongodb://u:sesame%zz@db",
            "mongodb://u:sesame@x@db",
            "mongodb://u:sesame@[::1",
            "mongodb+srv://u:sesame@a,b",
            "mongodb+srv://u:sesame@a:27017",
        ] {
            let (problem, remedy) = check(uri).expect_err(uri);
            assert!(!format!("{problem}{remedy}").contains("sesame"), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_check_panic(text in "(mongodb(\\+srv)?://)?\\PC{0,60}") {
            let _either_way = check(&text);
        }
    }
}

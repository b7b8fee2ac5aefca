use std::fs;

use proptest::prelude::*;

use super::*;

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    (folder, path)
}

/// Looks twice, as it takes for a change to count.
async fn look(watched: &mut Watched) -> Option<Reload> {
    let first = watched.look().await;
    first.or(watched.look().await)
}

fn watched(path: PathBuf, keys: &Arc<Keys>) -> Watched {
    let keys = Arc::clone(keys);
    Watched::new(CredentialFile::ApiKeys, path, move |text| {
        take_api_keys(&keys, text)
    })
}

fn opens(keys: &Keys, secret: &str) -> bool {
    keys.api.get().producer_of(secret).is_some()
}

#[tokio::test]
async fn a_new_file_counts_and_a_broken_one_leaves_what_was_before() {
    let (_folder, path) = file();
    let keys = Arc::new(Keys::default());
    fs::write(&path, "orders:0123456789abcdef-1").unwrap();
    let mut watched = watched(path.clone(), &keys);
    assert_eq!(look(&mut watched).await, Some(Reload::AsAtTheStart));
    assert_eq!(look(&mut watched).await, None);

    fs::write(&path, "orders:0123456789abcdef-2").unwrap();
    assert_eq!(look(&mut watched).await, Some(Reload::Applied));
    assert!(opens(&keys, "0123456789abcdef-2") && !opens(&keys, "0123456789abcdef-1"));

    for broken in ["", "a b:c", "one:same-secret-0123\ntwo:same-secret-0123"] {
        fs::write(&path, broken).unwrap();
        assert_eq!(look(&mut watched).await, Some(Reload::Refused), "{broken}");
        assert_eq!(look(&mut watched).await, None, "told once");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(look(&mut watched).await, Some(Reload::Refused));
    assert!(opens(&keys, "0123456789abcdef-2"));

    // What it was before is a change again.
    fs::write(&path, "orders:0123456789abcdef-2").unwrap();
    assert_eq!(look(&mut watched).await, Some(Reload::Applied));
}

#[tokio::test]
async fn a_symbolic_link_that_is_swapped_as_kubernetes_does_it_is_a_change() {
    let (folder, path) = file();
    let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
    fs::write(&old, "0123456789abcdef-1").unwrap();
    fs::write(&new, "0123456789abcdef-2").unwrap();
    std::os::unix::fs::symlink(&old, &path).unwrap();
    let keys = Arc::new(Keys::default());
    let mut watched = watched(path.clone(), &keys);
    assert_eq!(look(&mut watched).await, Some(Reload::AsAtTheStart));
    let swapped = folder.path().join("swapped");
    std::os::unix::fs::symlink(&new, &swapped).unwrap();
    fs::rename(&swapped, &path).unwrap();
    assert_eq!(look(&mut watched).await, Some(Reload::Applied));
    assert!(opens(&keys, "0123456789abcdef-2"));
}

#[test]
fn why_a_file_is_refused_is_said_without_what_is_in_it() {
    let secrets = ["very secret", "one:very-secret-,"];
    for text in secrets {
        let why = reread::api_keys(text).unwrap_err();
        assert!(!why.contains("very"), "{why}");
    }
    assert!(reread::drain_keys("very-secret").is_err_and(|why| !why.contains("very")));
}

proptest! {
    #[test]
    fn what_was_seen_twice_and_is_new_is_acted_on_once(looks in prop::collection::vec(0_u8..3, 0..40)) {
        let mut memory = Memory::default();
        let (mut before, mut last) = (None, None);
        for look in looks {
            let expected = before == Some(look) && last != Some(look);
            prop_assert_eq!(memory.acts_on([look; 32]), expected);
            before = Some(look);
            if expected {
                last = Some(look);
            }
        }
    }
}

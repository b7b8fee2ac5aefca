//! The page as HTML. Pure. Everything that a person or a service wrote goes through [`Text`], which nothing escapes.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::form::{Form, FormToken};
use crate::clock::{self, Millis};
use crate::domain::Notice;
use crate::http::problem::{Code, Problem};
use crate::inbox::HistoryEntry;

/// What the page shows.
pub(super) struct View<'a> {
    pub(super) account: &'a str,
    pub(super) entries: &'a [HistoryEntry],
    pub(super) now: Millis,
    /// Seconds until it loads itself again; none where it does not.
    pub(super) refresh: Option<u64>,
    pub(super) form_token: &'a FormToken,
    pub(super) form_key: &'a str,
    pub(super) draft: Option<Draft<'a>>,
}

/// What could not be sent.
pub(super) struct Draft<'a> {
    pub(super) form: &'a Form,
    pub(super) problem: &'a Problem,
}

/// Text between tags or in a quoted attribute.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // No browser takes it.
                '\0' => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl View<'_> {
    /// The whole page.
    pub(super) fn to_html(&self) -> String {
        let mut html = String::with_capacity(4096 + 400 * self.entries.len());
        let _never_fails = self.write(&mut html);
        html
    }

    fn write(&self, html: &mut String) -> fmt::Result {
        let fresh = self.entries.iter().filter(|entry| !entry.read).count();
        let title = match fresh {
            0 => format!("Notices of {}", self.account),
            fresh => format!("({fresh}) Notices of {}", self.account),
        };
        head(html, &title, self.refresh)?;
        write!(
            html,
            "<header><h1>Notices of <bdi>{}</bdi></h1>",
            Text(self.account)
        )?;
        match self.refresh {
            Some(seconds) => write!(
                html,
                "<p class=soft>Looks again every {seconds}&nbsp;s. <a href=\"?refresh=off\">Stop, to write</a></p>"
            )?,
            None => html.write_str("<p class=soft><a href=\"?\">Look again by itself</a></p>")?,
        }
        html.write_str("</header>\n<main>\n")?;
        if let Some(draft) = &self.draft {
            problem_box(html, "It was not sent", draft.problem)?;
        }
        self.form(html)?;
        self.list(html)?;
        html.write_str("</main>\n</body>\n</html>\n")
    }

    fn form(&self, html: &mut String) -> fmt::Result {
        let kept = self.draft.as_ref().map(|draft| draft.form);
        let receiver = kept.map_or("", |form| &form.receiver);
        let message = kept.map_or("", |form| &form.message);
        write!(
            html,
            "<form method=post action=\"?\" accept-charset=utf-8>\n\
             <input type=hidden name=formToken value=\"{}\"><input type=hidden name=key value=\"{}\">\n\
             <label>To <input name=receiverId value=\"{}\" required autocomplete=off autocapitalize=none \
             spellcheck=false></label>\n\
             <label>Message <textarea name=message rows=3 required>\n{}</textarea></label>\n\
             <div class=send><button>Send</button></div>\n</form>\n",
            Text(&self.form_token.to_string()),
            Text(self.form_key),
            Text(receiver),
            Text(message),
        )
    }

    fn list(&self, html: &mut String) -> fmt::Result {
        if self.entries.is_empty() {
            return html.write_str("<p class=empty>No notices yet.</p>\n");
        }
        html.write_str("<h2>Newest first</h2>\n<ol>\n")?;
        for entry in self.entries {
            self.entry(html, entry)?;
        }
        html.write_str("</ol>\n")
    }

    fn entry(&self, html: &mut String, entry: &HistoryEntry) -> fmt::Result {
        let notice: &Notice = &entry.notice;
        let (class, mark) = if entry.read {
            ("", "")
        } else {
            (" class=fresh", "<span class=new>new</span>")
        };
        let from = notice.sender.as_ref().map_or("", |sender| sender.as_str());
        let created = notice.created;
        writeln!(
            html,
            "<li{class} id=\"n{}\"><div class=line><span><bdi class=from>{}</bdi>{mark}</span>\
             <span title=\"{}\">{}</span></div><div class=text dir=auto>{}</div></li>",
            notice.id,
            Text(if from.is_empty() { "A service" } else { from }),
            clock::http_date_of(created),
            age(self.now.saturating_sub(created)),
            Text(&notice.message),
        )
    }
}

/// How long ago, in the largest unit that fits.
fn age(millis: Millis) -> String {
    let seconds = Duration::from_millis(millis).as_secs();
    match seconds {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{}\u{a0}min ago", seconds / 60),
        3600..86_400 => format!("{}\u{a0}h ago", seconds / 3600),
        days => match days / 86_400 {
            1 => "yesterday".to_owned(),
            days => format!("{days} days ago"),
        },
    }
}

fn head(html: &mut String, title: &str, refresh: Option<u64>) -> fmt::Result {
    html.write_str("<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n")?;
    if let Some(seconds) = refresh {
        writeln!(html, "<meta http-equiv=\"refresh\" content=\"{seconds}\">")?;
    }
    write!(
        html,
        "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <meta name=referrer content=same-origin>\n<title>{}</title>\n\
         <link rel=icon href=\"assets/icon.svg\">\n<link rel=stylesheet href=\"assets/page.css\">\n</head>\n<body>\n",
        Text(title)
    )
}

/// A page that only says what is wrong.
pub(super) fn problem(problem: &Problem, again: Option<u64>) -> String {
    let mut html = String::with_capacity(1024);
    let _never_fails = write_problem(&mut html, problem, again);
    html
}

fn write_problem(html: &mut String, problem: &Problem, again: Option<u64>) -> fmt::Result {
    head(html, "Notices", again)?;
    html.write_str("<header><h1>Notices</h1></header>\n<main>\n")?;
    let title = match problem.code {
        Code::Unauthenticated => "You are not signed in",
        Code::OriginNotAllowed => "You came from another site",
        _ => "This did not work",
    };
    problem_box(html, title, problem)?;
    match again {
        Some(seconds) => write!(html, "<p class=soft>Looks again in {seconds}&nbsp;s. ")?,
        None => html.write_str("<p class=soft>")?,
    }
    html.write_str("<a href=\"?\">Open the page</a></p>\n</main>\n</body>\n</html>\n")
}

fn problem_box(html: &mut String, title: &str, problem: &Problem) -> fmt::Result {
    writeln!(
        html,
        "<div class=problem role=alert><p><strong>{}</strong></p><p>{}</p></div>",
        Text(title),
        Text(&problem.detail)
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{AccountId, NoticeId};

    fn entry(message: &str, sender: Option<&str>, read: bool) -> HistoryEntry {
        let notice = Notice {
            id: NoticeId::new(1000, 0, 0),
            receiver: AccountId::trusted("u"),
            sender: sender.map(AccountId::trusted),
            message: message.into(),
            created: 1000,
            kind: None,
            data: None,
            expires: None,
            collapse_key: None,
            producer: Arc::from("default"),
        };
        HistoryEntry {
            notice: Arc::new(notice),
            read,
        }
    }

    fn page(account: &str, entries: &[HistoryEntry], draft: Option<Draft<'_>>) -> String {
        let view = View {
            account,
            entries,
            now: 2000,
            refresh: Some(12),
            form_token: &FormToken::of("t"),
            form_key: "k",
            draft,
        };
        view.to_html()
    }

    /// The tags of a page, with their attributes.
    fn tags(html: &str) -> Vec<&str> {
        html.split('<')
            .skip(1)
            .map(|rest| rest.split('>').next().unwrap())
            .collect()
    }

    #[test]
    fn the_page_loads_itself_again_and_has_no_script() {
        let html = page("u", &[entry("hello", Some("u2"), false)], None);
        assert!(html.contains("<meta http-equiv=\"refresh\" content=\"12\">"));
        assert!(html.contains("hello") && html.contains(">u2<") && html.contains("class=fresh"));
        assert!(!html.contains("<script") && !html.contains("style="));
    }

    #[test]
    fn ages_are_told_in_the_largest_unit_that_fits() {
        let ages = [0, 61, 3 * 3600, 30 * 3600, 50 * 3600].map(|s| age(s * 1000));
        let expected = [
            "just now",
            "1\u{a0}min ago",
            "3\u{a0}h ago",
            "yesterday",
            "2 days ago",
        ];
        assert_eq!(ages, expected);
    }

    proptest! {
        #[test]
        fn nothing_that_anyone_wrote_becomes_a_tag_or_leaves_its_attribute(
            evil in prop_oneof![any::<String>(), "[<>\"'&;/= a-z\n]{0,40}", Just("</textarea><script>x</script>".to_owned())],
        ) {
            let entries = [entry("plain", Some("plain"), true)];
            let evil_entries = [entry(&evil, Some(&evil), true)];
            let problem = Problem::invalid("plain");
            let evil_problem = Problem::invalid(evil.clone());
            let form = Form { receiver: "plain".into(), message: "plain".into(), ..Form::default() };
            let evil_form = Form { receiver: evil.clone(), message: evil.clone(), ..Form::default() };
            let plain = page("plain", &entries, Some(Draft { form: &form, problem: &problem }));
            let page = page(&evil, &evil_entries, Some(Draft { form: &evil_form, problem: &evil_problem }));
            let plain = plain.replace("value=\"plain\"", "value=\"\"");
            let page = page.replace(&format!("value=\"{}\"", Text(&evil)), "value=\"\"");
            prop_assert_eq!(tags(&page), tags(&plain));
        }
    }
}
